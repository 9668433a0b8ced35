"""The tensor tables: which axes every tensor of a family has, and what it is tied to.

Labels of dimensions are either fixed axes (``vocab``, ``position``, ``label``, ...), which never grow, or
``axis.role`` for an axis that grows: ``stream.out`` writes the residual stream, ``norm.in`` reads the output
of a norm, ``norm.gain`` and ``norm.shift`` are that norm's own vectors, ``query.out``, ``key.out``,
``value.out``, ``value.in``, ``ffn.out`` and ``ffn.in`` speak for themselves; ``pooled.*`` and ``transform.*``
live in private heads.
Several labels joined by ``|`` stand for parts laid one after the other in one fused dimension.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from fedgrow.architectures.shape import Shape
from fedgrow.errors import ArchitectureError

FIXED_AXES = frozenset({"vocab", "position", "token_type", "label", "channel", "patch", "one"})
BODY_AXES = (
    "stream.out",
    "norm.gain",
    "norm.shift",
    "norm.in",
    "query.out",
    "key.out",
    "value.out",
    "value.in",
    "ffn.out",
    "ffn.in",
)
HEAD_AXES = ("pooled.out", "pooled.in", "transform.out", "transform.gain", "transform.shift", "transform.in")
Part = Literal["body", "pooler", "head"]
SizeAxis = Literal["layers", "width", "heads", "ffn"]
Axes = tuple[str, ...]


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a model.

    Attributes:
        name: full name in the model; a tensor of the blocks carries ``{layer}``.
        axes: one label per dimension.
        part: ``body`` (grown by the operators), ``pooler`` or ``head`` (private to a participant).
        in_block: whether there is one such tensor in every block.
        tied_to: full name of the tensor that this one shares its memory with, if tied.
    """

    name: str
    axes: Axes
    part: Part
    in_block: bool = False
    tied_to: str | None = None

    def names(self, layers: int) -> list[str]:
        """Return the full names of this tensor in a model of so many layers."""
        return [self.name.format(layer=i) for i in range(layers)] if self.in_block else [self.name]


class Head(BaseModel):
    """A task head: its Hugging Face class and its tensors, under their full names."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    auto_class: str
    architecture: str
    tensors: dict[str, Axes]
    ties: dict[str, str] = {}
    uses_pooler: bool = False


class Block(BaseModel):
    """The repeated block: where it stands, its tensors, and (post-norm) the norm that closes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    tensors: dict[str, Axes]
    optional: tuple[str, ...] = ()
    closing_norm: str | None = None


class Family(BaseModel):
    """The table of one family; see ``families/*.yaml``.

    ``unused`` lists patterns of tensors that files may hold and that nothing here uses: heads of
    pre-training, old buffers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    family: str
    model_type: str
    norm: Literal["pre", "post"]
    config: dict[Literal["layers", "width", "heads", "ffn", "norm_eps"], str]
    defaults: dict[SizeAxis, int] = {}
    follows_width: tuple[str, ...] = ()
    refused_config: dict[str, Any] = Field(default_factory=dict)
    prefix: str
    body: dict[str, Axes]
    optional: dict[str, Axes] = {}
    block: Block
    pooler: dict[str, Axes] = {}
    heads: dict[str, Head]
    unused: tuple[str, ...] = ()

    def specs(self, head: str | None) -> Iterator[TensorSpec]:
        """Yield every tensor that a model with this head (or a bare body, for None) may have."""
        prefix = f"{self.prefix}." if head else ""
        for name, axes in (self.body | self.optional).items():
            yield TensorSpec(prefix + name, axes, "body")
        for name, axes in self.block.tensors.items():
            yield TensorSpec(f"{prefix}{self.block.path}.{name}", axes, "body", in_block=True)
        for name, axes in self.pooler.items():
            yield TensorSpec(prefix + name, axes, "pooler")
        if head:
            for name, axes in self.heads[head].tensors.items():
                yield TensorSpec(name, axes, "head", tied_to=self.heads[head].ties.get(name))

    def may_be_absent(self, spec: TensorSpec) -> bool:
        """Tell whether a model without this tensor is still a whole model of the family."""
        short = spec.name.removeprefix(f"{self.prefix}.")
        block = short.removeprefix(f"{self.block.path}.")
        if spec.in_block:
            return block in self.block.optional
        return spec.part == "pooler" or short in self.optional

    def shape(self, config: Any) -> Shape:
        """Read the shape from a Hugging Face configuration."""
        values = {axis: getattr(config, field) for axis, field in self.config.items() if axis != "norm_eps"}
        for axis, times in self.defaults.items():
            if values[axis] is None:
                values[axis] = times * values["width"]
        return Shape(**values)

    def config_values(self, shape: Shape) -> dict[str, int]:
        """Return the configuration fields that give a model this shape."""
        values = {field: getattr(shape, axis) for axis, field in self.config.items() if axis != "norm_eps"}
        return values | dict.fromkeys(self.follows_width, shape.width)


def axis_size(label: str, shape: Shape) -> int | None:
    """Return the size of a labelled dimension in a model of this shape; None for an axis that never grows."""
    if "|" in label:
        return sum(axis_size(part, shape) or 0 for part in label.split("|"))
    if label in FIXED_AXES:
        return None
    axis = label.split(".")[0]
    if axis in ("query", "key", "value"):
        return shape.heads * shape.head_size
    return shape.ffn if axis == "ffn" else shape.width


@cache
def families() -> Mapping[str, Family]:
    """Load every family's table, by its Hugging Face ``model_type``."""
    folder = resources.files("fedgrow.architectures") / "families"
    tables = [
        Family.model_validate(yaml.safe_load(f.read_text("utf-8")))
        for f in folder.iterdir()
        if f.name.endswith(".yaml")
    ]
    known = FIXED_AXES.union(BODY_AXES, HEAD_AXES)
    for table in tables:
        for head in (None, *table.heads):
            for spec in table.specs(head):
                unknown = {part for label in spec.axes for part in label.split("|")} - known
                if unknown:
                    raise ArchitectureError(
                        f"{table.family}.yaml: {spec.name} names unknown axes {sorted(unknown)}"
                    )
    return {table.model_type: table for table in sorted(tables, key=lambda t: t.family)}


def family_of(config: Any) -> Family:
    """Return the table for a Hugging Face configuration.

    Raises:
        ArchitectureError: the family has no table, or the configuration asks for something that cannot grow.
    """
    table = families().get(config.model_type)
    if table is None:
        raise ArchitectureError(
            f"model_type {config.model_type!r} has no growth table; known families: {', '.join(families())}"
        )
    for field, refused in table.refused_config.items():
        if getattr(config, field, None) == refused:
            raise ArchitectureError(
                f"{table.family}: {field}={refused} has no growth rule; use a model with another setting"
            )
    return table
