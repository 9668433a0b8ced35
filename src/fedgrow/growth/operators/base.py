"""What every growth operator is: named arrays, their start, and the maps they stand for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from fedgrow.architectures.table import BODY_AXES
from fedgrow.errors import FedgrowError
from fedgrow.growth.maps import Map, Matrix
from fedgrow.growth.stage import Stage
from fedgrow.growth.start import depth_start, start

Arrays = Mapping[str, Tensor]
MIX, CONSTANT = "depth.mix/", "depth.constant/"

# LiGO as published has one map per axis: what reads an axis uses the map of what writes it (F = E).
PUBLISHED_TIES = {
    "norm.gain": "stream.out",
    "norm.shift": "stream.out",
    "norm.in": "stream.out",
    "value.in": "value.out",
    "ffn.in": "ffn.out",
}


@dataclass(frozen=True)
class Maps:
    """The maps of one operator, by axis label: those of the blocks and those of the rest of the model.

    ``per_layer`` says that the maps of the blocks carry a leading axis over the source's layers.
    """

    block: Mapping[str, Map]
    outer: Mapping[str, Map]
    per_layer: bool = False


@dataclass(frozen=True)
class Depth:
    """Depth of one block tensor: how much of every source layer, and a constant (gains of norms only)."""

    mix: Float[Tensor, "large_layers small_layers"]
    constant: Float[Tensor, " large_layers"] | None = None


class Operator(ABC):
    """A growth operator from one shape to another; it holds no arrays, only what they mean.

    Args:
        stage: from which shape to which.
        start: ``exact`` (function-preserving) or ``xavier`` (as LiGO publishes it, with F = E).
        rank: rank of the learned part, for the kinds that have one; default: the kind's.
        seed: seed of the random rows that break the symmetry of copies.
    """

    kind: ClassVar[str]
    starts: ClassVar[tuple[str, ...]] = ("exact", "xavier")
    default_rank: ClassVar[int | None] = None

    def __init__(self, stage: Stage, *, start: str = "exact", rank: int | None = None, seed: int = 0) -> None:
        if start not in self.starts:
            raise FedgrowError(
                f"operator {self.kind}: start {start!r} is unknown; choose from {', '.join(self.starts)}"
            )
        if rank is not None and self.default_rank is None:
            raise FedgrowError(f"operator {self.kind} has no rank, but rank {rank} was given; leave it out")
        self.stage, self.start, self.rank, self.seed = stage, start, rank or self.default_rank, seed

    @abstractmethod
    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return the starting arrays of the width maps (float64; ``initial`` casts them)."""

    @abstractmethod
    def maps(self, arrays: Arrays) -> Maps:
        """Return the maps that these arrays stand for; differentiable with respect to the arrays."""

    @abstractmethod
    def width_learning_rate(self) -> float:
        """Return AdamW's default step size for the arrays of the width maps at this stage's size."""

    def learning_rate(self, name: str) -> float:
        """Return AdamW's default step size for an array; entries of the depth are few and of order one."""
        return 1e-3 if name.startswith("depth.") else self.width_learning_rate()

    def initial(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Return all starting arrays: the same at every site for the same stage, settings and seed."""
        generator = torch.Generator().manual_seed(self.seed)
        arrays = self.width_start(generator)
        for name, depth in depth_start(self.stage).items():
            arrays[MIX + name] = depth.mix
            if depth.constant is not None:
                arrays[CONSTANT + name] = depth.constant
        return {name: array.to(dtype) for name, array in arrays.items()}

    def depth(self, arrays: Arrays) -> dict[str, Depth]:
        """Return the depth of every block tensor, by its name inside the block."""
        return {
            name.removeprefix(MIX): Depth(value, arrays.get(CONSTANT + name.removeprefix(MIX)))
            for name, value in arrays.items()
            if name.startswith(MIX)
        }

    @property
    def learned_axes(self) -> tuple[str, ...]:
        """Axes that have a map of their own; with the published start, readers share the writers' map."""
        return tuple(a for a in BODY_AXES if self.start == "exact" or a not in PUBLISHED_TIES)

    def resolve(self, axis: str) -> str:
        """Return the axis whose map serves this one."""
        return axis if self.start == "exact" else PUBLISHED_TIES.get(axis, axis)


def start_matrix(stage: Stage, axis: str, kind: str, generator: Generator) -> Float[Tensor, "large small"]:
    """Return a starting matrix: Xavier's, or the function-preserving one with its free rows drawn at random.

    Random rows have the norm of a row of a random orthonormal frame, times the scale of the kept rows, so
    that new features are as large as old ones.
    """
    begin = start(stage, axis)
    if kind == "xavier":
        matrix = torch.empty(begin.map.large, begin.map.small, dtype=torch.float64)
        return torch.nn.init.xavier_uniform_(matrix, generator=generator)
    matrix = begin.map.dense()
    count = int(begin.free.sum())
    if count:
        scale = begin.map.scale[begin.free].abs()[:, None] / begin.map.small**0.5
        random = torch.randn(count, begin.map.small, generator=generator, dtype=torch.float64)
        matrix[begin.free] = random * scale
    return matrix


def as_matrices(
    arrays: Arrays, operator: Operator, prefix: str, axes: tuple[str, ...] = BODY_AXES
) -> dict[str, Map]:
    """Wrap arrays named ``prefix + axis`` as maps for these axes."""
    return {axis: Matrix(arrays[prefix + operator.resolve(axis)]) for axis in axes}
