"""The table of a family: the axes of every tensor, what it is tied to, and how the family computes with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from fedgrow.architectures.axes import BODY_AXES, Axes, parts
from fedgrow.architectures.shape import Shape

Part = Literal["body", "pooler", "head"]
DepthAxis = Literal["layers", "decoder_layers"]
SizeAxis = Literal["layers", "decoder_layers", "width", "heads", "kv_heads", "head_size", "ffn"]
SIZE_AXES: tuple[SizeAxis, ...] = get_args(SizeAxis)
FIXED = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a model.

    Attributes:
        name: full name in the model; a tensor of the blocks carries ``{layer}``.
        axes: one label per dimension.
        part: ``body`` (grown by the operators), ``pooler`` or ``head`` (private to a participant).
        block: the repeated block that it belongs to, if any.
        key: its name inside the table, the same whatever the head: ``name`` without prefix, block and layer.
        tied_to: full name of the tensor that this one shares its memory with, if tied.
    """

    name: str
    axes: Axes
    part: Part
    key: str
    block: "Block | None" = None
    tied_to: str | None = None

    @property
    def in_block(self) -> bool:
        """Whether there is one such tensor in every block."""
        return self.block is not None

    def names(self, shape: Shape) -> list[str]:
        """Return the full names of this tensor in a model of this shape, one per layer."""
        if self.block is None:
            return [self.name]
        return [self.name.format(layer=i) for i in range(self.block.layers(shape))]


class Head(BaseModel):
    """A task head: its Hugging Face class and its tensors, under their full names.

    Attributes:
        architecture: the class itself.
        prefix: where this class keeps the body, if not under the family's usual prefix ("" for the top).
        stacks: the stacks of blocks that this class has (encoder only); default: all.
        scaled_logits: the configuration field that says whether logits are divided by the root of the width (T5).
    """

    model_config = FIXED
    architecture: str
    tensors: dict[str, Axes] = {}
    ties: dict[str, str] = {}
    prefix: str | None = None
    stacks: tuple[DepthAxis, ...] | None = None
    scaled_logits: str | None = None


class Block(BaseModel):
    """A stack of repeated blocks: where it stands, its tensors, and (post-norm) the norm that closes each block."""

    model_config = FIXED
    path: str
    tensors: dict[str, Axes]
    optional: tuple[str, ...] = ()
    closing_norm: str | None = None
    depth: DepthAxis = "layers"

    def layers(self, shape: Shape) -> int:
        """Return how many blocks a model of this shape has in this stack."""
        count = getattr(shape, self.depth)
        assert isinstance(count, int), f"a shape without {self.depth}"
        return count


class Rotary(BaseModel):
    """Rotary positions: the first half of a head's turning entries pairs with the second half."""

    model_config = FIXED
    parameters: str = "rope_parameters"
    exact_types: tuple[str, ...] = ("default", "linear", "llama3")


class Fold(BaseModel):
    """A setting that changes how attention scales its logits.

    Attributes:
        value: the value at which it does.
        queries: what it amounts to: queries divided by the layer's number (from 1), or times the root of the head size.
    """

    model_config = FIXED
    value: bool
    queries: Literal["by-layer", "by-head-size"]


class Family(BaseModel):
    """The table of one family; see ``families/*.yaml``.

    Attributes:
        family: name of the table.
        model_type: Hugging Face's name.
        extends: another table that this one starts from.
        when: configuration fields and the values that choose this table among those of one model type.
        norm: ``pre`` (norms stand before what reads them) or ``post`` (after the residual sum).
        norm_kind: ``layer`` (mean and variance) or ``rms``.
        keeps_eps: epsilon cannot be scaled (fixed in code, or shared with norms inside the heads): what writes the
            stream is scaled instead.
        gain_offset: what the family adds to a norm's stored gain (Gemma: 1).
        config: configuration field of every size, and of the norms' epsilon.
        defaults: sizes of fields that may be null, in multiples of the width.
        ffn_rule: how the FFN's width follows from its field: ``size``, ``ratio`` (times the width), or
            ``swiglu-ratio`` (two thirds of that, rounded up to a multiple of 8).
        free_head_size: whether heads x head size may differ from the width.
        width_divides_heads: whether the configuration insists that heads divide the width all the same.
        scales_queries: whether attention divides by the root of the head size.
        norms_heads: whether queries and keys pass a norm of their own inside each head.
        embeddings_scaled: whether the model multiplies embeddings by the root of its width (Gemma).
        positions_after_padding: positions are numbered from the one after the padding token's id: the table of positions
            has so many rows more than a text may have tokens (RoBERTa).
        any_image_size: whether the model takes images of other sizes than its configuration's, positions interpolated.
        rotary: rotary positions, if any.
        final_norm: the vectors of the norm before the language-modelling head.
        scaled_by: factors (LayerScale) folded into the tensors that they multiply before growth.
        follows_width, follows_layers: configuration fields that take the new width; lists with an entry per layer.
        dropped_config: fields that are derived from others when a configuration is made anew.
        kept_config: fields that a configuration made from a dictionary gets wrong, each with the field of the file that it
            is derived from.
        refused_config: settings without a growth rule.
        folded_config: settings that are folded into the queries before growth; grown models have their other value.
        prefix: where a class with a head keeps the body.
        body, ties, optional, blocks, pooler, heads: the tensors, and which of the body share their memory.
        unused: patterns of tensors that files may hold and that nothing here uses.
    """

    model_config = FIXED
    family: str
    model_type: str
    extends: str | None = None
    when: dict[str, Any] = Field(default_factory=dict)
    norm: Literal["pre", "post"]
    norm_kind: Literal["layer", "rms"] = "layer"
    keeps_eps: bool = False
    gain_offset: float = 0.0
    config: dict[SizeAxis | Literal["norm_eps"], str]
    defaults: dict[SizeAxis, int] = {}
    ffn_rule: Literal["size", "ratio", "swiglu-ratio"] = "size"
    free_head_size: bool = False
    width_divides_heads: bool = False
    scales_queries: bool = True
    norms_heads: bool = False
    embeddings_scaled: bool = False
    positions_after_padding: bool = False
    any_image_size: bool = False
    rotary: Rotary | None = None
    final_norm: tuple[str, ...] = ()
    scaled_by: dict[str, str] = {}
    follows_width: tuple[str, ...] = ()
    follows_layers: tuple[str, ...] = ()
    dropped_config: tuple[str, ...] = ()
    kept_config: dict[str, str] = {}
    refused_config: dict[str, Any] = Field(default_factory=dict)
    folded_config: dict[str, Fold] = {}
    prefix: str
    body: dict[str, Axes]
    ties: dict[str, str] = {}
    optional: dict[str, Axes] = {}
    blocks: tuple[Block, ...]
    pooler: dict[str, Axes] = {}
    heads: dict[str, Head]
    unused: tuple[str, ...] = ()

    def prefix_of(self, head: str | None) -> str:
        """Return what stands before the names of the body in a class with this head."""
        if head is None:
            return ""
        prefix = self.heads[head].prefix
        prefix = self.prefix if prefix is None else prefix
        return f"{prefix}." if prefix else ""

    def specs(self, head: str | None) -> Iterator[TensorSpec]:
        """Yield every tensor that a model with this head (or a bare body, for None) may have."""
        entry = self.heads[head] if head else None
        prefix = self.prefix_of(head)
        stacks = (entry and entry.stacks) or tuple(block.depth for block in self.blocks)
        absent = [block.path.partition(".")[0] for block in self.blocks if block.depth not in stacks]
        for name, axes in (self.body | self.optional).items():
            if name.partition(".")[0] not in absent:
                source = self.ties.get(name)
                yield TensorSpec(prefix + name, axes, "body", name, tied_to=source and prefix + source)
        for block in self.blocks:
            for name, axes in block.tensors.items():
                if block.depth in stacks:
                    yield TensorSpec(
                        f"{prefix}{block.path}.{name}", axes, "body", self.key(block, name), block
                    )
        for name, axes in self.pooler.items():
            yield TensorSpec(prefix + name, axes, "pooler", name)
        if entry:
            for name, axes in entry.tensors.items():
                yield TensorSpec(name, axes, "head", name, tied_to=entry.ties.get(name))

    def key(self, block: Block, name: str) -> str:
        """Return a block tensor's name in operators: its name inside the block, and the stack where there are several."""
        return name if len(self.blocks) == 1 else f"{block.path.partition('.')[0]}.{name}"

    def may_be_absent(self, spec: TensorSpec) -> bool:
        """Tell whether a model without this tensor is still a whole model of the family."""
        if spec.block is not None:
            return spec.key in {self.key(spec.block, name) for name in spec.block.optional}
        return spec.part == "pooler" or spec.key in self.optional

    @property
    def learned_axes(self) -> tuple[str, ...]:
        """Axes that this family's body has and for which operators learn maps, in their usual order."""
        used = {
            part for spec in self.specs(None) if spec.part == "body" for a in spec.axes for part in parts(a)
        }
        return tuple(axis for axis in BODY_AXES if axis in used)
