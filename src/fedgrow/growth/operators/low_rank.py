"""Low-rank: the structured start plus a learned U V^T; only U and V are learned and sent."""

import torch
from torch import Generator, Tensor

from fedgrow.growth.maps import LowRank, lengthwise
from fedgrow.growth.operators.base import Arrays, Maps, Operator, Sizes


class LowRankOperator(Operator):
    """E = E0 + U V^T, shared by all layers; every site derives the start E0 itself.

    V starts at zero, so growth starts as E0 does; the columns of U start at random with a norm of about one, so copies part
    as soon as V moves, and a step of V moves a vector by as much whatever the width.
    """

    kind = "low-rank"
    learns = "U and V of every axis, one pair for all layers, and the depth"
    needs_matrix = False
    default_rank = 8

    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return ``U`` (large, rank) and ``V`` (small, rank) for every axis."""
        assert self.rank is not None
        arrays = {}
        for axis, begin in self.beginnings.items():
            up = torch.randn(begin.map.large, self.rank, generator=generator, dtype=torch.float64)
            arrays[f"map/{axis}/U"] = up / begin.map.large**0.5
            arrays[f"map/{axis}/V"] = torch.zeros(begin.map.small, self.rank, dtype=torch.float64)
        return arrays

    def width_shapes(self) -> Sizes:
        """Return the same by arithmetic."""
        assert self.rank is not None
        shapes = Sizes()
        for axis in self.learned_axes:
            large, small = self.sizes(axis)
            shapes[f"map/{axis}/U"], shapes[f"map/{axis}/V"] = (large, self.rank), (small, self.rank)
        return shapes

    def maps(self, arrays: Arrays) -> Maps:
        """Add the learned part to the start of every axis."""
        return Maps.shared(
            self.stage.family,
            {
                axis: LowRank(
                    begin.map, lengthwise(arrays[f"map/{axis}/U"]), lengthwise(arrays[f"map/{axis}/V"])
                )
                for axis, begin in self.beginnings.items()
            },
        )

    def width_learning_rate(self) -> float:
        """A step of V moves a vector by as much as its entries add up to, so it shrinks with the width."""
        return 0.2 / self.stage.target.width
