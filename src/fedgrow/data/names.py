"""Which column holds what: the plan names it, or a common name stands alone."""

from collections.abc import Sequence

from fedgrow.config.plan import DataPlan
from fedgrow.errors import FedgrowError

# Letter case is ignored; {split} is the plan's split, for archives that hold several.
COMMON = {
    "text": ("text", "sentence", "gloss", "review", "content"),
    "image": (
        "image", "images", "img", "pixels", "x",
        "x_{split}", "{split}_x", "images_{split}", "{split}_images", "image_{split}", "{split}_image",
    ),
    "words": ("words", "tokens"),
    "tags": ("tags", "ner_tags", "pos_tags", "ner", "pos", "upos", "labels"),
    "question": ("question", "slot", "query"),
    "context": ("context", "text", "passage", "paragraph"),
    "answer": ("answer", "answers", "answer_text"),
    "answer_start": ("answer_start", "start"),
    "answer_end": ("answer_end", "end"),
    "label": (
        "label", "labels", "class", "category", "target", "y",
        "y_{split}", "{split}_y", "labels_{split}", "{split}_labels", "label_{split}", "{split}_label",
    ),
}  # fmt: skip


def column_for(role: str, plan: DataPlan, names: Sequence[str]) -> str:
    """Return the name of the column with a role.

    Args:
        role: a key of ``COMMON``, which is also the setting's name.
        plan: the data plan, which may name the column.
        names: all columns of the source.

    Raises:
        FedgrowError: the named column is missing, or none or several have a common name.
    """
    found = column_if_any(role, plan, names)
    if found is None:
        raise FedgrowError(
            f"data.{role} is not set and no column has a common {role} name; "
            f"set data.{role} to one of {listed(names)}"
        )
    return found


def column_if_any(role: str, plan: DataPlan, names: Sequence[str]) -> str | None:
    """Return the name of the column with a role that not every source has; None if none has a common name.

    Raises:
        FedgrowError: the named column is missing, or several have a common name.
    """
    wanted: str | None = getattr(plan, role)
    if wanted is not None:
        return present(wanted, f"data.{role}", names)
    common = {name.format(split=plan.split.lower()) for name in COMMON[role]}
    found = [name for name in names if name.lower() in common]
    if len(found) > 1:
        raise FedgrowError(
            f"data.{role} is not set and {listed(found)} could each be it; "
            f"set data.{role} to one of {listed(names)}"
        )
    return found[0] if found else None


def present(wanted: str, setting: str, names: Sequence[str]) -> str:
    """Return a column's name if the source has it.

    Raises:
        FedgrowError: it has not; the text lists those it has.
    """
    if wanted not in names:
        raise FedgrowError(f"{setting}: there is no column {wanted!r}; the source has {listed(names)}")
    return wanted


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first twenty of them."""
    rest = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(repr(name) for name in names[:20]) + rest if names else "none"
