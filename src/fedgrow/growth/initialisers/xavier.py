"""Xavier: both maps of every axis drawn at random and tied (F = E), as LiGO publishes it; starts from noise."""

import torch

from fedgrow.architectures.axes import STRUCTURAL_AXES
from fedgrow.errors import ShapeError
from fedgrow.growth.initialisers.base import Exactness, Start
from fedgrow.growth.initialisers.exact import Exact
from fedgrow.growth.maps import Matrix
from fedgrow.growth.stage import Stage


class Xavier(Exact):
    """Random maps; what reads an axis uses the map of what writes it."""

    name = "xavier"
    source = "LiGO (Wang et al., ICLR 2023)"
    ties_readers = True

    def stage(self, stage: Stage) -> Stage:
        """Refuse grouped heads, where what reads values is of another size than what writes them."""
        for shape in (stage.source, stage.target):
            if shape.heads != shape.kv_heads:
                raise ShapeError(
                    f"xavier: what reads an axis shares the map of what writes it, and there are {shape.heads} heads but "
                    f"{shape.kv_heads} key-value heads; choose another method"
                )
        return stage

    def width(self, stage: Stage, axis: str, seed: int) -> Start:
        """Draw a matrix of the axis' size, of its own for every axis that is learned."""
        size = super().width(stage, axis, seed)
        if axis in STRUCTURAL_AXES:  # nothing is learned for these
            return size
        matrix = torch.empty(size.map.large, size.map.small, dtype=torch.float64)
        generator = torch.Generator().manual_seed(_own(seed, axis))
        torch.nn.init.xavier_uniform_(matrix, generator=generator)
        return Start(Matrix(matrix), torch.zeros_like(size.free), size.new)

    def declared(self, stage: Stage) -> Exactness:
        """Nothing is kept."""
        return "not preserved"


def _own(seed: int, axis: str) -> int:
    return (seed * 1_000_003 + sum(ord(c) * 31**i for i, c in enumerate(axis))) % 2**62
