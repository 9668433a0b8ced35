"""Low-rank: the structured start plus a learned U V^T; only U and V are learned and sent."""

from functools import cached_property

import torch
from torch import Generator, Tensor

from fedgrow.architectures.table import BODY_AXES
from fedgrow.growth.maps import LowRank, Selection
from fedgrow.growth.operators.base import Arrays, Maps, Operator
from fedgrow.growth.start import start


class LowRankOperator(Operator):
    """E = E0 + U V^T, shared by all layers; every site derives the function-preserving E0 itself.

    V starts at zero, so growth starts exact; the columns of U start at random with a norm of about one, so copies part
    as soon as V moves, and a step of V moves a vector by as much whatever the width.
    """

    kind = "low-rank"
    starts = ("exact",)
    default_rank = 8

    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return ``U`` (large, rank) and ``V`` (small, rank) for every axis."""
        assert self.rank is not None
        arrays = {}
        for axis in self.learned_axes:
            begin = self._bases[axis]
            up = torch.randn(begin.large, self.rank, generator=generator, dtype=torch.float64)
            arrays[f"map/{axis}/U"] = up / begin.large**0.5
            arrays[f"map/{axis}/V"] = torch.zeros(begin.small, self.rank, dtype=torch.float64)
        return arrays

    @cached_property
    def _bases(self) -> dict[str, Selection]:
        return {axis: start(self.stage, axis).map for axis in BODY_AXES}

    def maps(self, arrays: Arrays) -> Maps:
        """Add the learned part to the start of every axis."""
        shared = {
            axis: LowRank(self._bases[axis], arrays[f"map/{axis}/U"], arrays[f"map/{axis}/V"])
            for axis in BODY_AXES
        }
        return Maps(block=shared, outer=shared)

    def width_learning_rate(self) -> float:
        """A step of V moves a vector by as much as its entries add up to, so it shrinks with the width."""
        return 0.2 / self.stage.target.width
