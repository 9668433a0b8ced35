"""Check a real model against its family's table, and name every tensor that the table does not know."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fedgrow.architectures.shape import Shape
from fedgrow.architectures.table import Family, TensorSpec, axis_size, family_of
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
    """

    family: Family
    shape: Shape
    head: str | None
    specs: tuple[TensorSpec, ...]
    tied: dict[str, str]


def head_of(family: Family, model: nn.Module) -> str | None:
    """Return the table's name of a model's head, None for a bare body.

    Raises:
        ArchitectureError: the class has a head that the table does not know.
    """
    name = type(model).__name__
    for head, entry in family.heads.items():
        if entry.architecture == name:
            return head
    if getattr(model, "base_model", None) is model:
        return None
    known = ", ".join(entry.architecture for entry in family.heads.values())
    raise ArchitectureError(
        f"{family.family}: no table for the head of {name}; known: the bare body, {known}"
    )


def read(model: nn.Module) -> Reading:
    """Check a Hugging Face model against its table.

    Raises:
        ArchitectureError: a tensor is unknown, missing, or of another size than its axes say; it is named.
    """
    config: Any = model.config
    family = family_of(config)
    head = head_of(family, model)
    shape = family.shape(config)
    ties_hold = bool(getattr(config, "tie_word_embeddings", True))
    tensors: dict[str, Tensor] = dict(model.state_dict())
    specs, tied, known = [], {}, set()
    for spec in family.specs(head):
        names = spec.names(shape.layers)
        known.update(names)
        present = [name for name in names if name in tensors]
        if len(present) < len(names):
            if not present and family.may_be_absent(spec):
                continue
            missing = next(name for name in names if name not in tensors)
            raise ArchitectureError(
                f"{family.family}: tensor {missing} is missing from {type(model).__name__}"
            )
        for name in names:
            _check_size(name, tensors[name], spec, shape)
        if spec.tied_to and ties_hold:
            tied[spec.name] = spec.tied_to
        else:
            specs.append(spec)
    unknown = sorted(set(tensors) - known)
    if unknown:
        raise ArchitectureError(
            f"{family.family}: the table does not know tensor {unknown[0]} of {type(model).__name__}"
            + (f" (and {len(unknown) - 1} more: {', '.join(unknown[1:4])})" if unknown[1:] else "")
            + "; growing it would be a guess, so it is refused"
        )
    return Reading(family, shape, head, tuple(specs), tied)


def _check_size(name: str, tensor: Tensor, spec: TensorSpec, shape: Shape) -> None:
    if tensor.dim() != len(spec.axes):
        raise ArchitectureError(
            f"tensor {name} has shape {tuple(tensor.shape)}; the table expects dimensions {list(spec.axes)}"
        )
    for size, label in zip(tensor.shape, spec.axes, strict=True):
        expected = axis_size(label, shape)
        if expected is not None and size != expected:
            raise ArchitectureError(
                f"tensor {name} has shape {tuple(tensor.shape)}: {label} is {size}, "
                f"but the configuration says {expected}"
            )
