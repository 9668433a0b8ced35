"""Check a real model against its family's table, and name every tensor that the table does not know."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import MODEL_MAPPING

from fedgrow.architectures.axes import axis_size
from fedgrow.architectures.configuration import shape_of
from fedgrow.architectures.registry import family_of
from fedgrow.architectures.shape import Shape
from fedgrow.architectures.table import Family, TensorSpec
from fedgrow.errors import ArchitectureError


@dataclass(frozen=True)
class Reading:
    """What the table says about one real model.

    Attributes:
        family: the family's table.
        shape: the model's shape.
        head: name of its task head in the table; None for a bare body.
        specs: the tensors that it really has, tied ones left out.
        tied: names of tied tensors, each with the tensor it shares its memory with.
        scaled_logits: whether its logits are divided by the root of the width.
        folds: what its settings fold into the queries (``Fold.queries``).
    """

    family: Family
    shape: Shape
    head: str | None
    specs: tuple[TensorSpec, ...]
    tied: dict[str, str]
    scaled_logits: bool = False
    folds: tuple[str, ...] = ()

    @property
    def tied_head(self) -> bool:
        """Whether the language-modelling head is tied to the embeddings."""
        if self.head is None:
            return False
        return any(name in self.tied for name in self.family.heads[self.head].ties)


def head_of(family: Family, model: nn.Module) -> str | None:
    """Return the table's name of a model's head, None for a bare body.

    Raises:
        ArchitectureError: the class has a head that the table does not know.
    """
    name = type(model).__name__
    for head, entry in family.heads.items():
        if entry.architecture == name:
            return head
    if isinstance(model, _body_class(model.config)):
        return None
    raise unknown_head(family, model.config, name)


def class_name(family: Family, config: Any, head: str | None) -> str:
    """Return what transformers calls the class with a head, or the bare body."""
    return family.heads[head].architecture if head else _body_class(config).__name__


def _body_class(config: Any) -> Any:
    return MODEL_MAPPING[type(config)]


def unknown_head(family: Family, config: Any, found: str) -> ArchitectureError:
    """Return the error for a class whose head no table knows: without it the model would lose what it was trained for."""
    body, *others = (class_name(family, config, head) for head in (None, *family.heads))
    return ArchitectureError(
        f"{family.family}: no table for the head of {found}; known: {body} (no head), {', '.join(others)}; load the model "
        "as the one of these whose head is to stay (from_pretrained leaves others behind), save it, and grow that"
    )


def read(model: nn.Module) -> Reading:
    """Check a Hugging Face model against its table.

    Raises:
        ArchitectureError: a tensor is unknown, missing, or of another size than its axes say; it is named.
    """
    config: Any = model.config
    family = family_of(config)
    head = head_of(family, model)
    tensors: dict[str, Tensor] = dict(model.state_dict(keep_vars=True))
    sizes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def tied(name: str, source: str) -> bool:
        return tensors[name] is tensors[source]

    ties = {
        spec.name
        for spec in family.specs(head)
        if spec.tied_to and spec.name in tensors and tied(spec.name, spec.tied_to)
    }
    return read_tensors(config, family, head, sizes, ties, what=type(model).__name__)


def read_tensors(
    config: Any,
    family: Family,
    head: str | None,
    sizes: Mapping[str, tuple[int, ...]],
    ties: Collection[str],
    *,
    what: str,
) -> Reading:
    """Check the names and sizes of a model's tensors against its table.

    Args:
        config: the model's configuration.
        family: its table.
        head: its head in the table; None for a bare body.
        sizes: the size of every tensor, by name.
        ties: names of tensors that share the memory of another.
        what: what the tensors belong to, for errors.

    Raises:
        ArchitectureError: a tensor is unknown, missing, or of another size than its axes say; it is named.
    """
    shape = shape_of(family, config)
    specs, tied, known = [], {}, set()
    for spec in family.specs(head):
        names = spec.names(shape)
        known.update(names)
        if spec.tied_to and spec.name in ties:
            tied[spec.name] = spec.tied_to
            continue
        present = [name for name in names if name in sizes]
        if len(present) < len(names):
            if not present and family.may_be_absent(spec):
                continue
            missing = next(name for name in names if name not in sizes)
            raise ArchitectureError(f"{family.family}: tensor {missing} is missing from {what}")
        if spec.part == "pooler":
            _check_pooler(family, config, sizes[spec.name][0], shape)
        for name in names:
            _check_size(name, sizes[name], spec, shape)
        specs.append(spec)
    unknown = sorted(set(sizes) - known)
    if unknown:
        raise ArchitectureError(
            f"{family.family}: the table does not know tensor {unknown[0]} of {what}"
            + (f" (and {len(unknown) - 1} more: {', '.join(unknown[1:4])})" if unknown[1:] else "")
            + "; growing it would be a guess, so it is refused"
        )
    field = family.heads[head].scaled_logits if head else None
    scaled = bool(field and getattr(config, field, False))
    folds = tuple(
        fold.queries for name, fold in family.folded_config.items() if getattr(config, name) == fold.value
    )
    return Reading(family, shape, head, tuple(specs), tied, scaled, folds)


def _check_pooler(family: Family, config: Any, size: int, shape: Shape) -> None:
    """Refuse a pooler whose width a field of its own says: a grown one is as wide as the model."""
    for field in family.follows_width:
        if getattr(config, field, None) == size != shape.width:
            raise ArchitectureError(
                f"{family.family}: {field}={size} has no growth rule beside a width of {shape.width}; "
                "use a model where both are the same, or one without a pooler"
            )


def _check_size(name: str, found: tuple[int, ...], spec: TensorSpec, shape: Shape) -> None:
    if len(found) != len(spec.axes):
        raise ArchitectureError(
            f"tensor {name} has shape {found}; the table expects dimensions {list(spec.axes)}"
        )
    for size, label in zip(found, spec.axes, strict=True):
        expected = axis_size(label, shape)
        if expected is not None and size != expected:
            raise ArchitectureError(
                f"tensor {name} has shape {found}: {label} is {size}, but the configuration says {expected}"
            )
