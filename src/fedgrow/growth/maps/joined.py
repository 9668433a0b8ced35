"""Maps made of maps: one after another, or side by side in a fused dimension."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from fedgrow.growth.maps.base import Map


def beside(m: Any, x: Tensor) -> Tensor:
    """Bring a structured map's matrix to the type and the place of a map's learned arrays; without any it stays."""
    learned = learned_array(m)
    return x if learned is None else x.to(learned)


def learned_array(m: Any) -> Tensor | None:
    """Return one of a map's learned arrays; None if it has none."""
    for name in ("weight", "up", "rows"):
        if hasattr(m, name):
            found: Tensor = getattr(m, name)
            return found
    inner = [*getattr(m, "links", ()), *getattr(m, "parts", ())]
    return next((array for part in inner if (array := learned_array(part)) is not None), None)


@dataclass(frozen=True)
class Chain(Map):
    """Maps applied one after another, the first one nearest to the small axis."""

    links: tuple[Map, ...]

    @cached_property
    def large(self) -> int:
        """Size of the axis after the last map."""
        return self.links[-1].large

    @cached_property
    def small(self) -> int:
        """Size of the axis before the first map."""
        return self.links[0].small

    @cached_property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return sum(link.cost for link in self.links)

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Apply every link in turn."""
        for link in self.links:
            x = link.apply(x, dim)
        return x

    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Pull through every link in turn, the last one first."""
        for link in reversed(self.links):
            x = link.pull(x, dim)
        return x

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the product as a matrix."""
        product = beside(self, self.links[0].dense())
        for link in self.links[1:]:
            product = link.apply(product, 0)
        return product


@dataclass(frozen=True)
class Fused(Map):
    """Maps of the parts of one fused dimension."""

    parts: tuple[Map, ...]

    @cached_property
    def large(self) -> int:
        """Size of the fused axis after the maps."""
        return sum(part.large for part in self.parts)

    @cached_property
    def small(self) -> int:
        """Size of the fused axis before the maps."""
        return sum(part.small for part in self.parts)

    @cached_property
    def cost(self) -> int:
        """Multiplications for one vector along the axis."""
        return sum(part.cost for part in self.parts)


@dataclass(frozen=True)
class Blocks(Fused):
    """Maps of parts that are laid one after the other."""

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Split, map every part, and join again."""
        pieces = x.split([part.small for part in self.parts], dim)
        return torch.cat([part.apply(p, dim) for part, p in zip(self.parts, pieces, strict=True)], dim)

    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Split, pull every part, and join again."""
        pieces = x.split([part.large for part in self.parts], dim)
        return torch.cat([part.pull(p, dim) for part, p in zip(self.parts, pieces, strict=True)], dim)

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the block-diagonal matrix."""
        return torch.block_diag(*(beside(self, part.dense()) for part in self.parts))


@dataclass(frozen=True)
class Interleaved(Fused):
    """Maps of parts that alternate head by head: (heads, parts, head size)."""

    small_heads: int
    large_heads: int

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Take the parts out, map each, and let them alternate again."""
        dim = dim % x.dim()
        apart = self._apart(x, dim, self.small_heads)
        mapped = [part.apply(piece, dim) for part, piece in zip(self.parts, apart, strict=True)]
        return self._together(mapped, dim, self.large_heads)

    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Take the parts out, pull each, and let them alternate again."""
        dim = dim % x.dim()
        apart = self._apart(x, dim, self.large_heads)
        pulled = [part.pull(piece, dim) for part, piece in zip(self.parts, apart, strict=True)]
        return self._together(pulled, dim, self.small_heads)

    def _apart(self, x: Tensor, dim: int, heads: int) -> list[Tensor]:
        by_head = x.unflatten(dim, (heads, len(self.parts), -1))
        return [by_head.select(dim + 1, i).flatten(dim, dim + 1) for i in range(len(self.parts))]

    def _together(self, pieces: list[Tensor], dim: int, heads: int) -> Tensor:
        by_head = [piece.unflatten(dim, (heads, -1)) for piece in pieces]
        return torch.stack(by_head, dim + 1).flatten(dim, dim + 2)

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""
        pieces = [beside(self, part.dense()) for part in self.parts]
        return self.apply(torch.eye(self.small, dtype=pieces[0].dtype, device=pieces[0].device), 0)
