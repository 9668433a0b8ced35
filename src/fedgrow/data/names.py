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
    "label": (
        "label", "labels", "class", "category", "target", "y",
        "y_{split}", "{split}_y", "labels_{split}", "{split}_labels", "label_{split}", "{split}_label",
    ),
}  # fmt: skip


def column_for(role: str, plan: DataPlan, names: Sequence[str]) -> str:
    """Return the name of the column with a role.

    Args:
        role: ``text``, ``image`` or ``label``.
        plan: the data plan, which may name the column.
        names: all columns of the source.

    Raises:
        FedgrowError: the named column is missing, or none or several have a common name.
    """
    wanted: str | None = getattr(plan, role)
    if wanted is not None:
        return present(wanted, f"data.{role}", names)
    common = {name.format(split=plan.split.lower()) for name in COMMON[role]}
    found = [name for name in names if name.lower() in common]
    if len(found) == 1:
        return found[0]
    why = f"{listed(found)} could each be it" if found else f"no column has a common {role} name"
    raise FedgrowError(f"data.{role} is not set and {why}; set data.{role} to one of {listed(names)}")


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
