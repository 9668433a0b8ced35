"""Which grown weights are materialised, and which are left as factors for activations to meet."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedgrow.architectures import Reading, TensorSpec
from fedgrow.architectures.axes import grows, parts
from fedgrow.growth.composed import Applied, Composed, vectors
from fedgrow.growth.cost import Side, Way, Weight, cheapest
from fedgrow.growth.maps import Map, layered, over_tensors


@dataclass(frozen=True)
class Path:
    """A weight that is left as factors.

    Attributes:
        way: dimensions left to activations, and the order of the rest.
        reads: its dimension that meets the input.
        maps: the structure of the map of every dimension left, its arrays on no device.
        residual: whether an operator adds a learned term to it.
    """

    way: Way
    reads: int
    maps: Mapping[int, Map]
    residual: bool = False


@dataclass(frozen=True)
class Paths:
    """The weights left as factors, by name (those of blocks with ``{layer}``), and the tokens a step they suit."""

    tokens: int = 0
    chosen: Mapping[str, Path] = field(default_factory=dict)


def reading_dimension(spec: TensorSpec) -> int | None:
    """Return which dimension of a linear layer's weight meets the input; None: it is no such weight."""
    if len(spec.axes) != 2 or "vocab" in spec.axes:
        return None
    reads = [dim for dim, label in enumerate(spec.axes) if label.endswith(".in")]
    return reads[0] if len(reads) == 1 else None


def in_turn(spec: TensorSpec, stages: Sequence[Applied], composed: Composed) -> bool:
    """Whether a block tensor must be grown stage by stage: layers mapped one by one, or something added in between."""
    assert spec.block is not None
    where = spec.block.depth
    plain = [part for label in spec.axes if grows(label) for part in parts(label)]
    return (
        any(layered(m) for label in plain for m in composed.links(where, label))
        or any(s.depth[spec.key].constant is not None for s in stages)
        or any(spec.key in s.residuals or spec.key in s.offsets for s in stages[:-1])
    )


def choose_paths(
    reading: Reading,
    stacked: Mapping[str, Tensor],
    stages: Sequence[Applied],
    tokens: int,
    trained: Collection[str] = (),
    *,
    choose: Callable[[Weight, int, Mapping[int, int]], Way] = cheapest,
) -> Paths:
    """Choose a path for every weight of the blocks, for training steps of so many tokens.

    Args:
        reading: what the small model is.
        stacked: its tensors, as ``stack`` lays them out.
        stages: the operators with any arrays: only sizes and structure matter.
        tokens: tokens a step.
        trained: the small tensors that are trained.
        choose: chooses among the ways of using a weight; default: the cheapest.
    """
    composed = Composed(stages, vectors(reading, stacked, tokens))
    chosen: dict[str, Path] = {}
    for spec in reading.specs:
        reads = reading_dimension(spec)
        if reads is None or not spec.block or in_turn(spec, stages, composed):
            continue
        maps = {dim: composed(spec.block.depth, label) for dim, label in enumerate(spec.axes) if grows(label)}
        layers = spec.block.layers(reading.shape), spec.block.layers(stages[-1].operator.stage.target)
        sides = {dim: Side.of(m) for dim, m in maps.items()}
        weight = Weight(stacked[spec.name].numel(), sides, layers, spec.name in trained)
        way = choose(weight, tokens, {reads: _readers(reading, spec, reads)})
        if way.leave:
            structure = {dim: over_tensors(maps[dim], _nowhere) for dim in sorted(way.leave)}
            chosen[spec.name] = Path(way, reads, structure, spec.key in stages[-1].residuals)
    return Paths(tokens, chosen)


def _nowhere(x: Tensor) -> Tensor:
    return torch.empty_like(x, device="meta", requires_grad=False)


def _readers(reading: Reading, spec: TensorSpec, reads: int) -> int:
    """Count the weights of a block that read what this one reads: query, key and value, or gate and up."""

    def what(other: TensorSpec, dim: int) -> tuple[str, bool]:
        return other.axes[dim], other.axes[1 - dim] == "ffn.out"

    same = 0
    for other in reading.specs:
        dim = reading_dimension(other)
        if dim is not None and other.block == spec.block:
            same += what(other, dim) == what(spec, reads)
    return same
