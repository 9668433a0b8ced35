"""Sub-models: which entries of a large model's tensors make a smaller model of the same family, and their average.

HeteroFL (Diao, Ding and Tarokh, ICLR 2021) takes the first entries of every growing axis; FedRolex (Alam et al.,
NeurIPS 2022) lets that window move. Which dimension lies on which axis is the family's table's to say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from fedgrow.architectures import Family, Shape
from fedgrow.architectures.axes import axis_size, grows, parts
from fedgrow.architectures.configuration import check_shape
from fedgrow.architectures.table import SIZE_AXES
from fedgrow.errors import ShapeError
from fedgrow.growth.heads import entries
from fedgrow.growth.stage import Stage

AXES = (*SIZE_AXES, "rotary")
Places = tuple[Tensor | None, ...]  # entries of the large tensor, per dimension; None: all


def cut_shape(family: Family, own: Shape, large: Shape) -> Shape:
    """Return the shape of the sub-model for a participant: its own, nowhere larger than the large one.

    Raises:
        ShapeError: the family cannot have what is left.
    """
    most = {a: getattr(large, a) for a in AXES if getattr(large, a) is not None}
    sizes = {a: min(size, most.get(a, size)) for a in AXES if (size := getattr(own, a)) is not None}
    shape = Shape(**sizes)
    try:
        check_shape(family, shape)
    except ShapeError as error:
        raise ShapeError(f"a model of {own}, cut to the large {large}: {error}") from None
    return shape


@dataclass(frozen=True)
class Cut:
    """A window of a large model's body.

    Layers are always the first ones. Along an axis, the window begins at ``offset`` and goes on at the start where the
    axis ends. Heads move whole: key-value heads, and with them the query heads that read them, which move inside their
    group. Entries inside a head move likewise, except in families with rotary positions: an entry turns at the frequency
    of its place, so there it is always the pairs that turn alike in both models.

    Attributes:
        family: the family's table.
        large: shape of the large model.
        sub: shape of the sub-model.
        offset: where windows begin.

    Raises:
        ShapeError: there is no such sub-model; the axis and both sizes are named.
    """

    family: Family
    large: Shape
    sub: Shape
    offset: int = 0

    def __post_init__(self) -> None:
        what = f"no sub-model of {self.sub} can be cut out of {self.large}"
        try:
            repeats = self.stage.groups.repeats
        except ShapeError as error:
            raise ShapeError(f"{what}: {error}") from None
        if repeats > 1:
            raise ShapeError(
                f"kv_heads: {what}: {self._group(self.sub)} heads read one key-value head in the small model, only "
                f"{self._group(self.large)} in the large one; choose a large shape with "
                f"kv_heads <= {self.large.heads // self._group(self.sub)}, or leave this baseline out"
            )

    @cached_property
    def stage(self) -> Stage:
        """The growth that would undo the cut: it knows which shapes and rotary positions fit."""
        return Stage(self.family, self.sub, self.large)

    def index(self, label: str) -> Int[Tensor, " sub"] | None:
        """Return the entries of a labelled dimension of the large model, in the sub-model's order; None for all."""
        if not grows(label):
            return None
        pieces = parts(label)
        if ":" in label:  # the parts alternate head by head
            heads = self._query_heads[:, None] * len(pieces) + torch.arange(len(pieces))
            return self._of_heads(heads.flatten())
        found, start = [], 0
        for piece in pieces:
            found.append(start + self._plain(piece))
            start += axis_size(piece, self.large) or 0
        return torch.cat(found)

    def places(self, head: str | None) -> Iterator[tuple[str, Places]]:
        """Yield every tensor that a sub-model with this head may have, with its entries in the large model."""
        for spec in self.family.specs(head):
            where = tuple(self.index(label) for label in spec.axes)
            for name in spec.names(self.sub):
                yield name, where

    def take(self, tensors: Mapping[str, Tensor], head: str | None) -> dict[str, Tensor]:
        """Cut the sub-model's tensors out of the large model's; differentiable.

        Args:
            tensors: tensors of the large model, by full name; may be some of them only.
            head: the head of the model that they belong to, which settles their names.
        """
        return {name: _taken(tensors[name], where) for name, where in self.places(head) if name in tensors}

    def _plain(self, label: str) -> Tensor:
        axis = label.partition(".")[0]
        if axis in ("query_norm", "key_norm"):
            return self._entries
        if axis == "head":
            return self._query_heads
        if axis == "query" or label == "value.in":
            return self._of_heads(self._query_heads)
        if axis in ("key", "value"):
            return self._of_heads(self._kv_heads)
        return self._window(axis_size(label, self.sub) or 0, axis_size(label, self.large) or 0)

    def _window(self, size: int, of: int) -> Tensor:
        return (torch.arange(size) + self.offset) % of

    @property
    def _kv_heads(self) -> Tensor:
        return self._window(self.sub.kv_heads, self.large.kv_heads)

    @property
    def _query_heads(self) -> Tensor:
        inside = self._window(self._group(self.sub), self._group(self.large))
        return (self._kv_heads[:, None] * self._group(self.large) + inside).flatten()

    @property
    def _entries(self) -> Tensor:
        size, of = self.sub.head_size, self.large.head_size
        if self.family.rotary is None:
            return self._window(size, of)
        return entries(size, of, rotating=self.stage.source.rotating, step=self.stage.rotary_step)

    def _of_heads(self, heads: Tensor) -> Tensor:
        return (heads[:, None] * self.large.head_size + self._entries).flatten()

    @staticmethod
    def _group(shape: Shape) -> int:
        return shape.heads // shape.kv_heads


class Piece(NamedTuple):
    """A sub-model's tensors, where they belong, and how much they count."""

    cut: Cut
    tensors: Mapping[str, Tensor]
    weight: int


def put_together(held: Mapping[str, Tensor], pieces: Sequence[Piece], head: str | None) -> dict[str, Tensor]:
    """Average sub-models: every entry over those that hold it; entries that none holds stay as they are.

    Args:
        held: tensors of the large model before.
        pieces: the sub-models, summed in this order, in float64.
        head: the head of the model that the tensors belong to, which settles their names.
    """
    total = {name: torch.zeros_like(t, dtype=torch.float64) for name, t in held.items()}
    weight = {name: torch.zeros_like(t, dtype=torch.float64) for name, t in held.items()}
    for piece in pieces:
        for name, where in piece.cut.places(head):
            if name in piece.tensors:
                mesh = _mesh(where, held[name].shape)
                total[name][mesh] += piece.weight * piece.tensors[name].double()
                weight[name][mesh] += piece.weight
    return {
        name: torch.where(weight[name] > 0, total[name] / weight[name], before.double()).to(before.dtype)
        for name, before in held.items()
    }


def _taken(tensor: Tensor, where: Places) -> Tensor:
    for dim, index in enumerate(where):
        if index is not None and not torch.equal(index, torch.arange(tensor.shape[dim])):
            tensor = tensor.index_select(dim, index)
    return tensor


def _mesh(where: Places, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Return one index tensor a dimension, that broadcast to all entries of a window."""
    found = []
    for dim, (index, size) in enumerate(zip(where, shape, strict=True)):
        line = torch.arange(size) if index is None else index
        found.append(line.view([-1 if d == dim else 1 for d in range(len(shape))]))
    return tuple(found)
