"""Linear maps of shape (large, small) along one axis, applied as what they are.

A map acts on a chosen dimension of a tensor. ``Matrix`` is a plain product; ``Selection`` is a gather with a
scale; ``LowRank`` adds two thin products to a structured map; ``Topped`` keeps structured rows and takes the new ones
from a product; ``NextLayer`` takes new rows from the layer above; ``Chain`` applies one map after another; ``Blocks``
lays several maps one after the other for a fused dimension (GPT-2's q, k and v), ``Interleaved`` lets them alternate
head by head (GPT-NeoX's).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class Map(Protocol):
    """A linear map from an axis of size ``small`` to one of size ``large``."""

    @property
    def large(self) -> int:
        """Size of the axis after the map."""

    @property
    def small(self) -> int:
        """Size of the axis before the map."""

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis; gathers are free."""

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` of ``x`` from ``small`` to ``large``."""

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""


@dataclass(frozen=True)
class Matrix:
    """A dense map; with a leading layer axis it maps every layer of a stacked tensor by its own matrix."""

    weight: Float[Tensor, "*layers large small"]

    @property
    def large(self) -> int:
        """Size of the axis after the map."""
        return self.weight.shape[-2]

    @property
    def small(self) -> int:
        """Size of the axis before the map."""
        return self.weight.shape[-1]

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return self.large * self.small

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` of ``x``; a per-layer map expects the layers of ``x`` in dimension 0."""
        if self.weight.dim() == 3:
            moved = x.movedim(dim, 1)
            rest = moved.shape[2:]
            return (
                torch.bmm(self.weight, moved.flatten(2) if rest else moved[..., None])
                .reshape(x.shape[0], self.large, *rest)
                .movedim(1, dim)
            )
        if dim % x.dim() == x.dim() - 1:
            return x @ self.weight.mT
        if dim % x.dim() == x.dim() - 2:
            return self.weight @ x
        return torch.tensordot(self.weight, x, dims=([1], [dim % x.dim()])).movedim(0, dim)

    def dense(self) -> Float[Tensor, "*layers large small"]:
        """Return the matrix itself."""
        return self.weight


@dataclass(frozen=True)
class Selection:
    """A structured map: entry i of the large axis is ``scale[i]`` times entry ``index[i]`` of the small one.

    An index equal to ``small`` stands for the mean of all small entries.
    """

    index: Int[Tensor, " large"]
    scale: Float[Tensor, " large"]
    size: int

    @property
    def large(self) -> int:
        """Size of the axis after the map."""
        return len(self.index)

    @property
    def small(self) -> int:
        """Size of the axis before the map."""
        return self.size

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return 0

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Gather and scale along ``dim``."""
        if self.is_identity:
            return x
        if self._has_mean:
            x = torch.cat([x, x.mean(dim, keepdim=True)], dim)
        picked = x.index_select(dim, self.index)
        scale = self.scale.to(x.dtype)
        return picked * scale.reshape([-1 if d == dim % x.dim() else 1 for d in range(x.dim())])

    @cached_property
    def is_identity(self) -> bool:
        """Whether the map changes nothing."""
        return self.large == self.small and bool(
            (self.index == torch.arange(self.large)).all() and (self.scale == 1).all()
        )

    @cached_property
    def _has_mean(self) -> bool:
        return bool((self.index == self.size).any())

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""
        return self.apply(torch.eye(self.size, dtype=self.scale.dtype), 0)


@dataclass(frozen=True)
class LowRank:
    """A structured map plus ``up @ down^T``: a gather and two thin products."""

    base: Map
    up: Float[Tensor, "large rank"]
    down: Float[Tensor, "small rank"]

    @property
    def large(self) -> int:
        """Size of the axis after the map."""
        return self.base.large

    @property
    def small(self) -> int:
        """Size of the axis before the map."""
        return self.base.small

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return self.base.cost + self.up.shape[1] * (self.large + self.small)

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim``: gather, and add the thin products."""
        thin = Matrix(self.up).apply(Matrix(self.down.mT).apply(x, dim), dim)
        return self.base.apply(x, dim) + thin

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""
        return self.base.dense().to(self.up.dtype) + self.up @ self.down.mT


@dataclass(frozen=True)
class Topped:
    """A structured map whose new rows come from a product instead (LiGO's own code: identity on top)."""

    base: Selection
    rows: Float[Tensor, "new small"]
    new: Bool[Tensor, " large"]

    @property
    def large(self) -> int:
        """Size of the axis after the map."""
        return self.base.large

    @property
    def small(self) -> int:
        """Size of the axis before the map."""
        return self.base.small

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return self.rows.shape[0] * self.small

    @cached_property
    def _kept(self) -> Selection:
        kept = ~self.new
        return Selection(self.base.index[kept], self.base.scale[kept], self.base.size)

    @cached_property
    def _order(self) -> Tensor | None:
        """Where each row stands among the kept and then the new ones; None: new rows come last already."""
        order = torch.argsort(torch.argsort(self.new.to(torch.int8), stable=True))
        return None if bool((order == torch.arange(self.large)).all()) else order

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim``: gather the kept rows, multiply out the new ones."""
        if not self.rows.shape[0]:
            return self.base.apply(x, dim)
        joined = torch.cat([self._kept.apply(x, dim), Matrix(self.rows).apply(x, dim)], dim)
        return joined if self._order is None else joined.index_select(dim, self._order)

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""
        return self.base.dense().to(self.rows.dtype).index_put((self.new,), self.rows)


@dataclass(frozen=True)
class NextLayer:
    """A structured map whose new rows are taken from the layer above; the last layer takes its own.

    It maps whole stacks of layers (dimension 0) and is no matrix on one axis.
    """

    base: Selection
    new: Bool[Tensor, " large"]

    @property
    def large(self) -> int:
        """Size of the axis after the map."""
        return self.base.large

    @property
    def small(self) -> int:
        """Size of the axis before the map."""
        return self.base.small

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis; gathers are free."""
        return 0

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Gather along ``dim``: old rows from each layer, new ones from the next."""
        above = torch.cat([x[1:], x[-1:]])
        mask = self.new.reshape([-1 if d == dim % x.dim() else 1 for d in range(x.dim())])
        return torch.where(mask, self.base.apply(above, dim), self.base.apply(x, dim))

    def dense(self) -> Float[Tensor, "large small"]:
        """There is no such matrix."""
        raise TypeError("a map that takes rows from the next layer is no matrix")


@dataclass(frozen=True)
class Chain:
    """Maps applied one after another, the first one nearest to the small axis."""

    links: tuple[Map, ...]

    @property
    def large(self) -> int:
        """Size of the axis after the last map."""
        return self.links[-1].large

    @property
    def small(self) -> int:
        """Size of the axis before the first map."""
        return self.links[0].small

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return sum(link.cost for link in self.links)

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Apply every link in turn."""
        for link in self.links:
            x = link.apply(x, dim)
        return x

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the product as a matrix."""
        product = self.links[0].dense()
        for link in self.links[1:]:
            product = link.apply(product, 0)
        return product


@dataclass(frozen=True)
class Blocks:
    """Maps of the parts of a fused dimension, laid one after the other."""

    parts: tuple[Map, ...]

    @property
    def large(self) -> int:
        """Size of the fused axis after the maps."""
        return sum(part.large for part in self.parts)

    @property
    def small(self) -> int:
        """Size of the fused axis before the maps."""
        return sum(part.small for part in self.parts)

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return sum(part.cost for part in self.parts)

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Split, map every part, and join again."""
        pieces = x.split([part.small for part in self.parts], dim)
        return torch.cat([part.apply(p, dim) for part, p in zip(self.parts, pieces, strict=True)], dim)

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the block-diagonal matrix."""
        return torch.block_diag(*(part.dense() for part in self.parts))


@dataclass(frozen=True)
class Interleaved:
    """Maps of parts that alternate head by head in one fused dimension: (heads, parts, head size)."""

    parts: tuple[Map, ...]
    small_heads: int
    large_heads: int

    @property
    def large(self) -> int:
        """Size of the fused axis after the maps."""
        return sum(part.large for part in self.parts)

    @property
    def small(self) -> int:
        """Size of the fused axis before the maps."""
        return sum(part.small for part in self.parts)

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return sum(part.cost for part in self.parts)

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Take the parts out, map each, and let them alternate again."""
        dim = dim % x.dim()
        apart = x.unflatten(dim, (self.small_heads, len(self.parts), -1))
        mapped = [
            part.apply(apart.select(dim + 1, i).flatten(dim, dim + 1), dim).unflatten(
                dim, (self.large_heads, -1)
            )
            for i, part in enumerate(self.parts)
        ]
        return torch.stack(mapped, dim + 1).flatten(dim, dim + 2)

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""
        pieces = [part.dense() for part in self.parts]
        return self.apply(torch.eye(self.small, dtype=pieces[0].dtype), 0)


def layered(m: Map) -> bool:
    """Whether a map treats each layer of a stack differently, so that it is no matrix on one axis."""
    if isinstance(m, Matrix):
        return m.weight.dim() == 3
    if isinstance(m, LowRank):
        return layered(m.base)
    if isinstance(m, Blocks | Interleaved):
        return any(layered(part) for part in m.parts)
    return isinstance(m, NextLayer)


def compose(maps: Sequence[Map], vectors: int = 1 << 40) -> Map:
    """Compose maps that act one after another, the first one nearest to the small axis.

    The product is multiplied out where that costs less than applying one map after another. Forward and
    backward together, a product with a constant costs two multiplications, one between two learned things
    three.

    Args:
        maps: the maps; per-layer ones cannot be composed.
        vectors: how many vectors the composed map will be applied to; default: a great many.
    """
    links = tuple(m for m in maps if not (isinstance(m, Selection) and m.is_identity)) or tuple(maps[:1])
    if len(links) == 1:
        return links[0]
    chain = Chain(links)
    one_by_one = vectors * (2 * links[0].cost + 3 * sum(link.cost for link in links[1:]))
    multiplied_out = (
        3 * links[0].small * sum(link.cost for link in links[1:]) + 2 * vectors * chain.large * chain.small
    )
    return Matrix(chain.dense()) if multiplied_out < one_by_one else chain
