"""Structured maps: nothing is multiplied out, entries are copied and scaled."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedgrow.growth.maps.base import Map, OverBase, along

MOST_RUNS = 32  # beyond so many pieces, one gather is faster than copying slices


class Run(NamedTuple):
    """Neighbouring entries of the large axis that come from neighbouring ones of the small axis, at one scale."""

    large: int
    small: int
    length: int
    scale: float


@dataclass(frozen=True)
class Selection(Map):
    """A structured map: entry i of the large axis is ``scale[i]`` times entry ``index[i]`` of the small one.

    An index equal to ``small`` stands for the mean of all small entries.
    """

    index: Int[Tensor, " large"]
    scale: Float[Tensor, " large"]
    size: int

    @cached_property
    def large(self) -> int:
        """Size of the axis after the map."""
        return len(self.index)

    @cached_property
    def small(self) -> int:
        """Size of the axis before the map."""
        return self.size

    @cached_property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return 0

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Gather and scale along ``dim``."""
        return x if self.is_identity else _Gather.apply(x, self, dim % x.dim())

    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Scale and add up along ``dim``."""
        return x if self.is_identity else _Scatter.apply(x, self, dim % x.dim())

    @cached_property
    def is_identity(self) -> bool:
        """Whether the map changes nothing."""
        return self.large == self.small and bool(
            (self.index == torch.arange(self.large)).all() and (self.scale == 1).all()
        )

    @cached_property
    def runs(self) -> tuple[Run, ...] | None:
        """The map as a few slices; None if it would take many."""
        if not self.large:
            return ()
        index, scale = self.index, self.scale
        mean = index == self.size
        follows = (index[1:] == index[:-1] + 1) & (scale[1:] == scale[:-1]) & ~mean[1:] & ~mean[:-1]
        follows |= mean[1:] & mean[:-1] & (scale[1:] == scale[:-1])
        begins = [0, *(torch.nonzero(~follows).flatten() + 1).tolist()]
        if len(begins) > MOST_RUNS:
            return None
        ends = [*begins[1:], self.large]
        return tuple(Run(b, int(index[b]), e - b, float(scale[b])) for b, e in zip(begins, ends, strict=True))

    @cached_property
    def has_mean(self) -> bool:
        """Whether some entry is the mean of all."""
        return bool((self.index == self.size).any())

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""
        return self.apply(torch.eye(self.size, dtype=self.scale.dtype), 0)


def _gather(x: Tensor, m: Selection, dim: int) -> Tensor:
    if m.runs is None:
        if m.has_mean:
            x = torch.cat([x, x.mean(dim, keepdim=True)], dim)
        return x.index_select(dim, m.index.to(x.device)).mul_(along(m.scale.to(x), x, dim))
    out = x.new_empty([*x.shape[:dim], m.large, *x.shape[dim + 1 :]])
    for run in m.runs:
        to = out.narrow(dim, run.large, run.length)
        if run.scale == 0:
            to.zero_()
        elif run.small == m.size:
            to.copy_(x.mean(dim, keepdim=True).mul_(run.scale))
        elif run.scale == 1:
            to.copy_(x.narrow(dim, run.small, run.length))
        else:
            torch.mul(x.narrow(dim, run.small, run.length), run.scale, out=to)
    return out


def _scatter(x: Tensor, m: Selection, dim: int) -> Tensor:
    shape = [*x.shape[:dim], m.size, *x.shape[dim + 1 :]]
    if m.runs is None:
        scaled, index = x * along(m.scale.to(x), x, dim), m.index.to(x.device)
        if not m.has_mean:
            return x.new_zeros(shape).index_add_(dim, index, scaled)
        extended = x.new_zeros([*x.shape[:dim], m.size + 1, *x.shape[dim + 1 :]])
        small, mean = extended.index_add_(dim, index, scaled).split([m.size, 1], dim)
        return small + mean / m.size
    out: Tensor | None = None
    for run in m.runs:
        if run.scale == 0:
            continue
        part = x.narrow(dim, run.large, run.length)
        if run.small == m.size:
            part = (part.sum(dim, keepdim=True) * (run.scale / m.size)).expand(shape)
        if out is None and part.shape[dim] == m.size:
            out = part * run.scale if run.scale != 1 and run.small < m.size else part.clone()
            continue
        out = x.new_zeros(shape) if out is None else out
        if run.small == m.size:
            out.add_(part)
        else:
            out.narrow(dim, run.small, run.length).add_(part, alpha=run.scale)
    return x.new_zeros(shape) if out is None else out


class _Gather(torch.autograd.Function):
    """A selection; its gradient is its transpose, and the other way round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, m: Selection, dim: int) -> Tensor:
        ctx.m, ctx.dim = m, dim
        return _gather(x, m, dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Scatter.apply(gradients[0], ctx.m, ctx.dim), None, None


class _Scatter(torch.autograd.Function):
    """The transpose of a selection."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, m: Selection, dim: int) -> Tensor:
        ctx.m, ctx.dim = m, dim
        return _scatter(x, m, dim)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Gather.apply(gradients[0], ctx.m, ctx.dim), None, None


@dataclass(frozen=True)
class NextLayer(OverBase):
    """A structured map whose new rows are taken from the layer above; the last layer takes its own.

    It maps whole stacks of layers (dimension 0) and is no matrix on one axis.
    """

    base: Selection
    new: Bool[Tensor, " large"]

    @cached_property
    def cost(self) -> int:
        """Multiplications for one vector along the axis; gathers are free."""
        return 0

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Gather along ``dim``: old rows from each layer, new ones from the next."""
        above, new = torch.cat([x[1:], x[-1:]]), self.new.to(x.device)
        return torch.where(along(new, x, dim), self.base.apply(above, dim), self.base.apply(x, dim))

    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Activations of one layer cannot be pulled through a map that takes rows from the next."""
        raise TypeError("a map that takes rows from the next layer has no transpose on one axis")

    def dense(self) -> Float[Tensor, "large small"]:
        """There is no such matrix."""
        raise TypeError("a map that takes rows from the next layer is no matrix")
