"""Operators with their arrays, and the maps of several of them multiplied out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from fedgrow.architectures import Reading
from fedgrow.architectures.axes import STRUCTURAL_AXES, axis_size, parts
from fedgrow.growth.depth import Depth
from fedgrow.growth.maps import Blocks, Interleaved, Map, compose
from fedgrow.growth.operators.base import Arrays, Maps, Operator, Residual

OUTER = "outer"


@dataclass(frozen=True)
class Applied:
    """An operator with its arrays: one stage of growth, ready to apply."""

    operator: Operator
    arrays: Arrays

    @cached_property
    def maps(self) -> Maps:
        """The maps that the arrays stand for."""
        return self.operator.maps(self.arrays)

    @cached_property
    def depth(self) -> dict[str, Depth]:
        """The depth of every block tensor."""
        return self.operator.depth(self.arrays)

    @cached_property
    def residuals(self) -> dict[str, Residual]:
        """What is added to the weights of blocks."""
        return self.operator.residuals(self.arrays)

    @cached_property
    def offsets(self) -> dict[str, Tensor]:
        """What is added to the vectors of blocks."""
        return self.operator.offsets(self.arrays)


def vectors(reading: Reading, stacked: Mapping[str, Tensor], tokens: int = 0) -> Counter[tuple[str, str]]:
    """Count how many vectors every map is applied to in one growth of this model, or, if more, in one step.

    Args:
        reading: what the model is.
        stacked: its tensors.
        tokens: tokens a step, if activations may meet the maps.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for spec in reading.specs:
        for label in spec.axes:
            size = axis_size(label, reading.shape)
            for part in parts(label) if size else ():
                where = spec.block.depth if spec.block else OUTER
                counts[where, part] += max(stacked[spec.name].numel() // (size or 1), tokens)
    return counts


class Composed:
    """The maps of all stages multiplied out, per axis, each computed once.

    Args:
        stages: the operators, the one nearest to the small model first.
        counts: how many vectors every map is applied to (``vectors``).
    """

    def __init__(self, stages: Sequence[Applied], counts: Mapping[tuple[str, str], int]) -> None:
        self.stages, self.counts = stages, counts
        self._cache: dict[tuple[str, str], Map] = {}

    def __call__(self, where: str, label: str) -> Map:
        """Return the map of an axis in a stack of blocks (``layers``, ``decoder_layers``) or outside (``OUTER``)."""
        if "|" in label:
            return Blocks(tuple(self(where, part) for part in parts(label)))
        if ":" in label:
            small, large = (s.operator.stage for s in (self.stages[0], self.stages[-1]))
            return Interleaved(
                tuple(self(where, part) for part in parts(label)), small.source.heads, large.target.heads
            )
        if (where, label) not in self._cache:
            links = self.links(where, label)
            self._cache[where, label] = compose(links, self.counts.get((where, label), 1))
        return self._cache[where, label]

    def links(self, where: str, label: str) -> list[Map]:
        """Return the maps of a plain axis, one per stage."""
        if label in STRUCTURAL_AXES:
            return [s.operator.begin(label).map for s in self.stages]
        if where == OUTER:
            return [s.maps.outer[label] for s in self.stages]
        return [s.maps.blocks[where][label] for s in self.stages]
