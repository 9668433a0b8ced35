"""What every growth operator is: named arrays, their start, and the maps they stand for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from fedgrow.architectures import Family
from fedgrow.architectures.axes import BODY_AXES, axis_size, parts
from fedgrow.errors import FedgrowError
from fedgrow.growth.depth import Depth, labels_of
from fedgrow.growth.initialisers import INITIALISERS, Start
from fedgrow.growth.maps import Map, NextLayer, Selection, lengthwise
from fedgrow.growth.stage import Stage

Arrays = Mapping[str, Tensor]
Sizes = dict[str, tuple[int, ...]]
MIX, CONSTANT, RESIDUAL = "depth.mix/", "depth.constant/", "residual/"

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
    """The maps of one operator, by axis label: those of each stack of blocks, and those of the rest of the model."""

    blocks: Mapping[str, Mapping[str, Map]]
    outer: Mapping[str, Map]

    @classmethod
    def shared(cls, family: Family, maps: Mapping[str, Map]) -> "Maps":
        """Use the same maps inside all stacks and outside; outside there is no next layer to take rows from."""
        outer = {axis: _plain(m) for axis, m in maps.items()}
        return cls({block.depth: maps for block in family.blocks}, outer)


def _plain(m: Map) -> Map:
    if isinstance(m, NextLayer):
        return m.base
    base = getattr(m, "base", None)
    return replace(m, base=base.base) if isinstance(base, NextLayer) else m  # type: ignore[type-var]


@dataclass(frozen=True)
class Residual:
    """What is added to a grown block tensor: ``up @ down^T`` in every layer."""

    up: Float[Tensor, "layers rows rank"]
    down: Float[Tensor, "layers columns rank"]


class Operator(ABC):
    """A growth operator from one shape to another; it holds no arrays, only what they mean.

    Attributes:
        kind: its name in plans and on the command line.
        learns: what it learns, and, as Global-LiGO, sends; in words.
        needs_matrix: whether it can only start from initialisers whose maps are plain matrices.
        allows_ties: whether it can tie readers to writers (F = E), as the published start does.
        default_rank: rank of the learned part, for the kinds that have one.

    Args:
        stage: from which shape to which.
        start: name of the initialiser.
        rank: rank of the learned part, for the kinds that have one; default: the kind's.
        residual: rank of a learned term that is added to every grown weight of the blocks, with one of their own for
            biases and the vectors of norms; None: no such term.
        seed: seed of the random rows that break the symmetry of copies.
    """

    kind: ClassVar[str]
    learns: ClassVar[str]
    needs_matrix: ClassVar[bool] = True
    allows_ties: ClassVar[bool] = False
    default_rank: ClassVar[int | None] = None

    def __init__(
        self,
        stage: Stage,
        *,
        start: str = "exact",
        rank: int | None = None,
        residual: int | None = None,
        seed: int = 0,
    ) -> None:
        if start not in self.starts():
            raise FedgrowError(
                f"operator {self.kind}: start {start!r} is unknown or does not fit; "
                f"choose from {', '.join(self.starts())}"
            )
        if rank is not None and self.default_rank is None:
            raise FedgrowError(f"operator {self.kind} has no rank, but rank {rank} was given; leave it out")
        self.initialiser, self.start = INITIALISERS[start], start
        self.stage = self.initialiser.stage(stage)
        self.rank, self.residual, self.seed = rank or self.default_rank, residual, seed
        self._begun: dict[str, Start] = {}

    @classmethod
    def starts(cls) -> tuple[str, ...]:
        """Names of the initialisers that this kind can start from."""
        return tuple(
            name
            for name, initialiser in INITIALISERS.items()
            if (initialiser.as_matrix or not cls.needs_matrix)
            and (cls.allows_ties or not initialiser.ties_readers)
        )

    @abstractmethod
    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return the starting arrays of the width maps (float64; ``initial`` casts them)."""

    @abstractmethod
    def width_shapes(self) -> Sizes:
        """Return the shapes of what ``width_start`` makes."""

    @abstractmethod
    def maps(self, arrays: Arrays) -> Maps:
        """Return the maps that these arrays stand for; differentiable with respect to the arrays."""

    @abstractmethod
    def width_learning_rate(self) -> float:
        """Return AdamW's default step size for the arrays of the width maps at this stage's size."""

    def learning_rate(self, name: str, given: float | None = None) -> float:
        """Return AdamW's step size for an array.

        Args:
            name: the array's.
            given: the step size for the width maps, with which all others grow or shrink in proportion; default: the kind's.
        """
        times = 1.0 if given is None else given / self.width_learning_rate()
        return times * self._default_learning_rate(name)

    def _default_learning_rate(self, name: str) -> float:
        """Entries of the depth are few and of order one.

        Of a residual's factors the one that starts at zero is trained faster (LoRA+, Hayou et al., ICML 2024): a step moves
        what it adds to a vector by as much whatever width and rank (docs/research/residual.md).
        """
        width = self.stage.target.width
        if name.startswith(RESIDUAL):
            return 0.32 / (width * (self.residual or 1)) ** 0.5 if name.endswith("/U") else 0.2 / width
        return 1e-3 if name.startswith("depth.") else self.width_learning_rate()

    def initial(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Return all starting arrays: the same at every site for the same stage, settings and seed."""
        generator = torch.Generator().manual_seed(self.seed)
        arrays = self.width_start(generator)
        for name, depth in self.initialiser.depth(self.stage).items():
            arrays[MIX + name] = depth.mix
            if depth.constant is not None:
                arrays[CONSTANT + name] = depth.constant
        arrays |= self._residual_start(generator)
        return {name: array.to(dtype) for name, array in arrays.items()}

    def _residual_start(self, generator: Generator) -> dict[str, Tensor]:
        """Start residuals at zero: ``up`` and vectors zero, columns of ``down`` of norm one."""
        return {
            name: torch.zeros(shape, dtype=torch.float64)
            if name.endswith(("/U", "/b"))
            else torch.randn(shape, generator=generator, dtype=torch.float64) / shape[1] ** 0.5
            for name, shape in self._residual_shapes().items()
        }

    def shapes(self) -> Sizes:
        """Return the shapes of all starting arrays by arithmetic alone: nothing is made, however large it would be."""
        return self.width_shapes() | self._depth_shapes() | self._residual_shapes()

    def _depth_shapes(self) -> Sizes:
        shapes = Sizes()
        for block in self.stage.family.blocks:
            small, large = block.layers(self.stage.source), block.layers(self.stage.target)
            for name, axes in block.tensors.items():
                key = self.stage.family.key(block, name)
                shapes[MIX + key] = (large, small)
                if "norm.gain" in labels_of(axes):
                    shapes[CONSTANT + key] = (large,)
        return shapes

    def _residual_shapes(self) -> Sizes:
        if self.residual is None:
            return {}
        target, shapes = self.stage.target, Sizes()
        for block in self.stage.family.blocks:
            for name, axes in block.tensors.items():
                sizes = [axis_size(label, target) or 0 for label in axes]
                layers, key = block.layers(target), self.stage.family.key(block, name)
                if len(sizes) == 2:
                    shapes[f"{RESIDUAL}{key}/U"] = (layers, sizes[0], self.residual)
                    shapes[f"{RESIDUAL}{key}/V"] = (layers, sizes[1], self.residual)
                elif set(parts(axes[0])) <= set(BODY_AXES):
                    shapes[f"{RESIDUAL}{key}/b"] = (layers, sizes[0])
        return shapes

    def sizes(self, axis: str) -> tuple[int, int]:
        """Return the size of a learned axis after growth, and before."""
        return axis_size(axis, self.stage.target) or 0, axis_size(axis, self.stage.source) or 0

    def depth(self, arrays: Arrays) -> dict[str, Depth]:
        """Return the depth of every block tensor, by its key."""
        return {
            name.removeprefix(MIX): Depth(value, arrays.get(CONSTANT + name.removeprefix(MIX)))
            for name, value in arrays.items()
            if name.startswith(MIX)
        }

    def residuals(self, arrays: Arrays) -> dict[str, Residual]:
        """Return what is added to block tensors, by their key."""
        return {
            name.removeprefix(RESIDUAL).removesuffix("/U"): Residual(
                lengthwise(value), lengthwise(arrays[name[:-1] + "V"])
            )
            for name, value in arrays.items()
            if name.startswith(RESIDUAL) and name.endswith("/U")
        }

    def offsets(self, arrays: Arrays) -> dict[str, Tensor]:
        """Return what is added to the vectors of blocks, biases and those of norms, by their key."""
        return {
            name.removeprefix(RESIDUAL).removesuffix("/b"): value
            for name, value in arrays.items()
            if name.startswith(RESIDUAL) and name.endswith("/b")
        }

    @cached_property
    def beginnings(self) -> dict[str, Start]:
        """The initialiser's start of every axis that has a map of its own."""
        return {axis: self.begin(axis) for axis in self.learned_axes}

    def begin(self, axis: str) -> Start:
        """Return the initialiser's start of any axis, made once."""
        if axis not in self._begun:
            self._begun[axis] = self.initialiser.width(self.stage, axis, self.seed)
        return self._begun[axis]

    @property
    def learned_axes(self) -> tuple[str, ...]:
        """Axes that have a map of their own; with the published start, readers share the writers' map."""
        axes = self.stage.family.learned_axes
        return tuple(a for a in axes if not (self.initialiser.ties_readers and a in PUBLISHED_TIES))

    def resolve(self, axis: str) -> str:
        """Return the axis whose map serves this one."""
        return PUBLISHED_TIES.get(axis, axis) if self.initialiser.ties_readers else axis


def start_matrix(begin: Start, generator: Generator) -> Float[Tensor, "large small"]:
    """Return a starting matrix: the initialiser's, with its free rows drawn at random.

    Random rows have the norm of a row of a random orthonormal frame, times the scale of the kept rows, so
    that new features are as large as old ones.
    """
    matrix = begin.map.dense().clone()
    if begin.free.any():
        matrix[begin.free] = free_rows(begin, generator)
    return matrix


def free_rows(begin: Start, generator: Generator) -> Float[Tensor, "free small"]:
    """Draw the free rows of a start at random, as ``start_matrix`` fills them (float64)."""
    assert isinstance(begin.map, Selection)
    scale = begin.map.scale[begin.free].abs()[:, None] / begin.map.small**0.5
    random = torch.randn(len(scale), begin.map.small, generator=generator, dtype=torch.float64)
    return random * scale
