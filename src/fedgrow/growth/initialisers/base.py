"""What every initialiser is: starting maps and a starting depth for a stage of growth."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Bool
from torch import Tensor

from fedgrow.growth.depth import Depth, deepens
from fedgrow.growth.maps import Map
from fedgrow.growth.stage import Stage

# From the best to the worst.
Exactness = Literal[
    "exact",
    "exact to float32 rounding of the rotary frequencies",
    "exact up to the norms' epsilon",
    "approximate",
    "not preserved",
]


@dataclass(frozen=True)
class Start:
    """A starting map, the rows of it that may hold anything, and those that are new.

    Free rows do not matter for exactness; they start as copies, and an operator that learns a whole matrix may fill
    them at random to break the symmetry between copies.
    """

    map: Map
    free: Bool[Tensor, " large"]
    new: Bool[Tensor, " large"]


class Initialiser(ABC):
    """A non-learned growth: by itself, or as the start of an operator.

    Attributes:
        name: its name in plans and on the command line.
        source: where it was published.
        as_matrix: whether its maps are plain matrices, the same for every layer (dense, tied and partial start from
            those only).
        ties_readers: whether what reads an axis uses the map of what writes it (F = E).
    """

    name: ClassVar[str]
    source: ClassVar[str]
    as_matrix: ClassVar[bool] = True
    ties_readers: ClassVar[bool] = False

    def stage(self, stage: Stage) -> Stage:
        """Return the stage as this initialiser takes it (some always duplicate the stream)."""
        return stage

    @abstractmethod
    def width(self, stage: Stage, axis: str, seed: int) -> Start:
        """Return the starting map of an axis, such as ``stream.out``; the same at every site for the same seed."""

    @abstractmethod
    def depth(self, stage: Stage) -> dict[str, Depth]:
        """Return the starting depth of every block tensor, by its key."""

    def declared(self, stage: Stage) -> Exactness:
        """Return how far the grown model computes what the small one computed (docs/exactness.md)."""
        source, target = stage.source, stage.target
        if not stage.width_is_exact:
            return "approximate"
        if deepens(stage) and stage.family.norm == "post":
            return "exact up to the norms' epsilon"
        turned = stage.family.rotary and stage.rotary_step == 1 and source.rotating == source.head_size
        if turned and source.head_size < target.head_size:
            return "exact to float32 rounding of the rotary frequencies"
        return "exact"
