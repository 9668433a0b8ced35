"""Growth as one pure function: tensors, table and operators in; tensors out.

    W' = E W F^T      b' = E b      W'_i = sum_j mix[i, j] W'_j
    gain'_i = sum_j mix[i, j] G gain_j + constant_i

(docs/method.md; LiGO, Wang et al., ICLR 2023, equations 5 to 8.) Gradients reach the arrays of every
operator, and the small tensors if they ask for them, in one backward pass.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from fedgrow.architectures import Reading, Shape, TensorSpec
from fedgrow.architectures.axes import STRUCTURAL_AXES, axis_size, grows, parts
from fedgrow.errors import ShapeError
from fedgrow.growth.canonical import stored
from fedgrow.growth.factors import factor
from fedgrow.growth.maps import Blocks, Interleaved, Map, compose, layered
from fedgrow.growth.operators.base import Arrays, Depth, Maps, Operator, Residual

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
        """What is added to block tensors."""
        return self.operator.residuals(self.arrays)


def grow(
    reading: Reading,
    stacked: Mapping[str, Tensor],
    stages: Sequence[Applied],
    *,
    factored_vocabulary: bool = False,
) -> dict[str, Tensor]:
    """Grow a small model's tensors through one or more operators.

    Args:
        reading: what the small model is.
        stacked: its tensors, as ``stack`` lays them out.
        stages: the operators, the one nearest to the small model first (Local-LiGO, then Global-LiGO).
        factored_vocabulary: leave tables over the vocabulary as their two factors, ``<module>.small``
            (vocabulary, small width) and ``<module>.map`` (large width, small width), for ``skeleton`` to
            look up and then map.

    Returns:
        The large model's tensors, under their Hugging Face names.

    Raises:
        ShapeError: the stages do not follow on from the small model or from each other.
    """
    check_chain(reading.shape, [s.operator for s in stages])
    composed = _Composed(stages, _vectors(reading, stacked))
    target = stages[-1].operator.stage.target
    out: dict[str, Tensor] = {}
    for spec in reading.specs:
        x = stacked[spec.name]
        times = factor(reading, spec, [s.operator.stage for s in stages])
        if spec.in_block:
            grown = stored(reading, spec, _grow_block(spec, x, stages, composed))
            out.update(zip(spec.names(target), grown.unbind(0), strict=True))
        elif factored_vocabulary and is_vocabulary_table(spec):
            module = spec.name.removesuffix(".weight")
            out[f"{module}.small"] = x
            out[f"{module}.map"] = composed(OUTER, spec.axes[1]).dense().to(x.dtype) * times
        else:
            x = _widen(x, spec.axes, partial(composed, OUTER))
            out[spec.name] = stored(reading, spec, x if times == 1.0 else x * times)
    for name, source in reading.tied.items():
        module, source_module = name.removesuffix(".weight"), source.removesuffix(".weight")
        if f"{source_module}.small" in out:
            for part in ("small", "map"):
                out[f"{module}.{part}"] = out[f"{source_module}.{part}"]
        else:
            out[name] = out[source]
    return out


def is_vocabulary_table(spec: TensorSpec) -> bool:
    """Whether a tensor is a table over the vocabulary; training never materialises it at the large width."""
    return len(spec.axes) == 2 and spec.axes[0] == "vocab" and grows(spec.axes[1])


def check_chain(small: Shape, operators: Sequence[Operator]) -> None:
    """Check that the operators follow on from the small model and from each other."""
    reached = small
    for operator in operators:
        if operator.stage.source != reached:
            raise ShapeError(f"an operator from {operator.stage.source} cannot follow a model of {reached}")
        reached = operator.stage.target


def _vectors(reading: Reading, stacked: Mapping[str, Tensor]) -> Counter[tuple[str, str]]:
    """Count how many vectors every map is applied to in one growth of this model."""
    counts: Counter[tuple[str, str]] = Counter()
    for spec in reading.specs:
        for label in spec.axes:
            size = axis_size(label, reading.shape)
            for part in parts(label) if size else ():
                where = spec.block.depth if spec.block else OUTER
                counts[where, part] += stacked[spec.name].numel() // (size or 1)
    return counts


class _Composed:
    """The maps of all stages multiplied out, per axis, each computed once."""

    def __init__(self, stages: Sequence[Applied], vectors: Mapping[tuple[str, str], int]) -> None:
        self.stages, self.vectors = stages, vectors
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
            self._cache[where, label] = compose(links, self.vectors.get((where, label), 1))
        return self._cache[where, label]

    def links(self, where: str, label: str) -> list[Map]:
        """Return the maps of a plain axis, one per stage."""
        if label in STRUCTURAL_AXES:
            return [s.operator.begin(label).map for s in self.stages]
        if where == OUTER:
            return [s.maps.outer[label] for s in self.stages]
        return [s.maps.blocks[where][label] for s in self.stages]


def _grow_block(spec: TensorSpec, x: Tensor, stages: Sequence[Applied], composed: _Composed) -> Tensor:
    """Grow one stacked block tensor: widen the few small layers, then mix them into the many large ones.

    Stage by stage where layers are mapped one by one or something is added in between, else by the product of all maps.
    """
    assert spec.block is not None
    where = spec.block.depth
    depths = [s.depth[spec.key] for s in stages]
    plain = [part for label in spec.axes if grows(label) for part in parts(label)]
    in_turn = (
        any(layered(m) for label in plain for m in composed.links(where, label))
        or any(d.constant is not None for d in depths)
        or any(spec.key in s.residuals for s in stages[:-1])
    )
    steps = (
        [([s], d) for s, d in zip(stages, depths, strict=True)] if in_turn else [(stages, _product(depths))]
    )
    for step, depth in steps:
        maps = composed if step is stages else _Composed(step, {})
        x = _mix(_widen(x, spec.axes, partial(maps, where), layers=True), depth)
        residual = step[-1].residuals.get(spec.key)
        if residual is not None:
            x = torch.baddbmm(x, residual.up, residual.down.mT)
    return x


def _product(depths: Sequence[Depth]) -> Depth:
    mix = depths[0].mix
    for depth in depths[1:]:
        mix = depth.mix.to(mix.dtype) @ mix
    return Depth(mix)


def _mix(x: Tensor, depth: Depth) -> Tensor:
    mixed = (depth.mix.to(x.dtype) @ x.flatten(1)).reshape(-1, *x.shape[1:])
    if depth.constant is not None:
        mixed = mixed + depth.constant.to(x.dtype).reshape(-1, *[1] * (x.dim() - 1))
    return mixed


def _widen(x: Tensor, axes: tuple[str, ...], maps: Callable[[str], Map], *, layers: bool = False) -> Tensor:
    """Map every growing dimension, in the order that costs the fewest multiplications.

    Forward and backward together the first product costs two (the small tensor is a constant), the second
    three.
    """
    todo = [(dim + layers, maps(label)) for dim, label in enumerate(axes) if grows(label)]
    if len(todo) == 2:
        (_, a), (_, b) = todo
        if 2 * b.small * a.cost + 3 * a.large * b.cost > 2 * a.small * b.cost + 3 * b.large * a.cost:
            todo.reverse()
    for dim, m in todo:
        x = m.apply(x, dim)
    return x
