"""Where the heads of a small model go in a larger one, and where the entries of a head go in a larger head."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedgrow.errors import ShapeError


@dataclass(frozen=True)
class Groups:
    """Placement of query heads and of the key-value heads that they share (grouped-query attention).

    Each small key-value head is repeated so often that its query heads fit, and they stay inside their group.
    """

    heads: int
    kv_heads: int
    large_heads: int
    large_kv_heads: int

    @property
    def repeats(self) -> int:
        """How many large key-value heads a small one needs."""
        return math.ceil((self.heads // self.kv_heads) / (self.large_heads // self.large_kv_heads))

    def check(self) -> None:
        """Check that the groups fit.

        Raises:
            ShapeError: they do not; the nearest number of key-value heads that does is named.
        """
        if self.kv_heads * self.repeats > self.large_kv_heads:
            nearest = nearest_kv_heads(self.heads, self.kv_heads, self.large_heads)
            raise ShapeError(
                f"kv_heads: {self.heads} heads in {self.kv_heads} groups do not fit into {self.large_heads} heads in "
                f"{self.large_kv_heads} groups; choose kv_heads={nearest}"
            )

    def kv_sources(self) -> Tensor:
        """Return for every large key-value head the small one that it repeats, -1 for a new one."""
        sources = torch.full((self.large_kv_heads,), -1)
        for old in range(self.kv_heads):
            sources[old * self.repeats : (old + 1) * self.repeats] = old
        return sources

    def query_sources(self) -> Tensor:
        """Return for every large query head the small one that it continues, -1 for a new one."""
        group, large_group = self.heads // self.kv_heads, self.large_heads // self.large_kv_heads
        sources = torch.full((self.large_heads,), -1)
        for old in range(self.heads):
            first, inside = old // group * self.repeats, old % group
            sources[(first + inside // large_group) * large_group + inside % large_group] = old
        return sources


def nearest_kv_heads(heads: int, kv_heads: int, large_heads: int) -> int:
    """Return the smallest number of key-value heads of a larger model that holds the old groups."""
    for count in range(kv_heads, large_heads + 1):
        if large_heads % count == 0:
            repeats = math.ceil((heads // kv_heads) / (large_heads // count))
            if kv_heads * repeats <= count:
                return count
    return large_heads


def entries(small: int, large: int, *, rotating: int, step: int) -> Tensor:
    """Return where each entry of a small head goes in a larger one.

    Args:
        small: small head size.
        large: large head size.
        rotating: how many entries turn with the position (0: none).
        step: step between the pairs of turning entries; they pair the first half with the second.
    """
    places = torch.arange(small)
    if rotating == small:
        half = torch.arange(small // 2) * step
        return torch.cat([half, large // 2 + half])
    return places  # the turning part keeps its size, and the rest follows it
