"""Maps that hold learned arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fedgrow.growth.maps.base import Map, OverBase
from fedgrow.growth.maps.selection import Selection


@dataclass(frozen=True)
class Matrix(Map):
    """A dense map; with a leading layer axis it maps every layer of a stacked tensor by its own matrix."""

    weight: Float[Tensor, "*layers large small"]

    @cached_property
    def large(self) -> int:
        """Size of the axis after the map."""
        return self.weight.shape[-2]

    @cached_property
    def small(self) -> int:
        """Size of the axis before the map."""
        return self.weight.shape[-1]

    @cached_property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return self.large * self.small

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` of ``x``; a per-layer map expects the layers of ``x`` in dimension 0."""
        return _product(self.weight, x, dim % x.dim())

    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` by the transpose."""
        return _product(self.weight.mT, x, dim % x.dim())

    def dense(self) -> Float[Tensor, "*layers large small"]:
        """Return the matrix itself."""
        return self.weight


def _product(weight: Tensor, x: Tensor, dim: int) -> Tensor:
    if weight.dim() == 3:
        moved = x.movedim(dim, 1)
        rest = moved.shape[2:]
        return (
            torch.bmm(weight, moved.flatten(2) if rest else moved[..., None])
            .reshape(x.shape[0], weight.shape[1], *rest)
            .movedim(1, dim)
        )
    if dim == x.dim() - 1:
        return x @ weight.mT
    if dim == x.dim() - 2:
        return weight @ x
    return torch.tensordot(weight, x, dims=([1], [dim])).movedim(0, dim)


@dataclass(frozen=True)
class LowRank(OverBase):
    """A structured map plus ``up @ down^T``: a gather and two thin products."""

    base: Map
    up: Float[Tensor, "large rank"]
    down: Float[Tensor, "small rank"]

    @cached_property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return self.base.cost + self.up.shape[1] * (self.large + self.small)

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim``: gather, and add the thin products."""
        return _plus_thin(self.base.apply, x, self.down, self.up, dim % x.dim())

    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` by the transpose."""
        return _plus_thin(self.base.pull, x, self.up, self.down, dim % x.dim())

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""
        return self.base.dense().to(self.up) + self.up @ self.down.mT


def _plus_thin(
    structured: Callable[[Tensor, int], Tensor], x: Tensor, first: Tensor, second: Tensor, dim: int
) -> Tensor:
    """Return ``structured(x) + second @ first^T x`` along a dimension."""
    if dim == x.dim() - 1 and x.dim() > 1:
        flat = x.flatten(0, -2)
        return add_thin(structured(flat, 1), flat @ first, second, flat).view(*x.shape[:-1], -1)
    return structured(x, dim) + _product(second, _product(first.mT, x, dim), dim)


def lengthwise(x: Float[Tensor, "*layers long thin"]) -> Float[Tensor, "*layers long thin"]:
    """Lay thin factors out column after column: products with them, and their gradients, are several times faster."""
    return x.mT.contiguous().mT


def add_thin(y: Tensor, thin: Tensor, up: Tensor, x: Tensor) -> Tensor:
    """Add ``thin @ up^T`` to ``y``, in place unless it is ``x``: large temporaries cost time and memory."""
    thin, up = thin.to(y.dtype), up.to(y.dtype)  # under autocast they may differ
    return torch.addmm(y, thin, up.mT) if y is x else y.addmm_(thin, up.mT)


@dataclass(frozen=True)
class Topped(OverBase):
    """A structured map whose new rows come from a product instead (LiGO's own code: identity on top)."""

    base: Selection
    rows: Float[Tensor, "new small"]
    new: Bool[Tensor, " large"]

    @cached_property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return self.rows.shape[0] * self.small

    @cached_property
    def _kept(self) -> Selection:
        kept = ~self.new
        return Selection(self.base.index[kept], self.base.scale[kept], self.base.size)

    @cached_property
    def _order(self) -> Tensor | None:
        """Where the kept and then the new rows stand; None: new rows come last already."""
        order = torch.argsort(self.new.to(torch.int8), stable=True)
        return None if bool((order == torch.arange(self.large)).all()) else order

    @cached_property
    def _back(self) -> Tensor | None:
        return None if self._order is None else torch.argsort(self._order)

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim``: gather the kept rows, multiply out the new ones."""
        if not self.rows.shape[0]:
            return self.base.apply(x, dim)
        joined = torch.cat([self._kept.apply(x, dim), Matrix(self.rows).apply(x, dim)], dim)
        return joined if self._back is None else joined.index_select(dim, self._back.to(x.device))

    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` by the transpose."""
        if not self.rows.shape[0]:
            return self.base.pull(x, dim)
        sorted_ = x if self._order is None else x.index_select(dim, self._order.to(x.device))
        kept, new = sorted_.split([self.large - len(self.rows), len(self.rows)], dim)
        return self._kept.pull(kept, dim) + Matrix(self.rows).pull(new, dim)

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""
        return self.base.dense().to(self.rows).index_put((self.new.to(self.rows.device),), self.rows)
