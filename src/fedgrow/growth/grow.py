"""Growth as one pure function: tensors, table and operators in; tensors out.

    W' = E W F^T      b' = E b      W'_i = sum_j mix[i, j] W'_j
    gain'_i = sum_j mix[i, j] G gain_j + constant_i

(docs/method.md; LiGO, Wang et al., ICLR 2023, equations 5 to 8.) Gradients reach the arrays of every
operator, and the small tensors if they ask for them, in one backward pass.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fedgrow.architectures import Reading, Shape, TensorSpec
from fedgrow.architectures.table import HEAD_AXES, axis_size
from fedgrow.errors import ShapeError
from fedgrow.growth.maps import Blocks, Map, compose
from fedgrow.growth.operators.base import Arrays, Depth, Maps, Operator
from fedgrow.growth.start import start


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


def stack(reading: Reading, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give block tensors a leading layer axis, under their ``{layer}`` name; leave the others."""
    stacked = {}
    for spec in reading.specs:
        parts = [tensors[name] for name in spec.names(reading.shape.layers)]
        stacked[spec.name] = torch.stack(parts) if spec.in_block else parts[0]
    return stacked


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
    layers = stages[-1].operator.stage.target.layers
    out: dict[str, Tensor] = {}
    for spec in reading.specs:
        x = stacked[spec.name]
        if spec.in_block:
            grown = _grow_block(spec, x, stages, composed)
            out.update(zip(spec.names(layers), grown.unbind(0), strict=True))
        elif factored_vocabulary and is_vocabulary_table(spec):
            module = spec.name.removesuffix(".weight")
            out[f"{module}.small"] = x
            out[f"{module}.map"] = composed.outer(spec.axes[1]).dense().to(x.dtype)
        else:
            out[spec.name] = _widen(x, spec.axes, composed.outer)
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
    return len(spec.axes) == 2 and spec.axes[0] == "vocab"


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
            for part in label.split("|") if size else ():
                counts["block" if spec.in_block else "outer", part] += stacked[spec.name].numel() // (
                    size or 1
                )
    return counts


class _Composed:
    """The maps of all stages multiplied out, per axis, each computed once."""

    def __init__(self, stages: Sequence[Applied], vectors: Mapping[tuple[str, str], int]) -> None:
        self.stages, self.vectors = stages, vectors
        self.per_layer = any(s.maps.per_layer for s in stages)
        self._cache: dict[tuple[str, str], Map] = {}

    def outer(self, label: str) -> Map:
        return self._get("outer", label)

    def block(self, label: str) -> Map:
        return self._get("block", label)

    def _get(self, where: str, label: str) -> Map:
        if "|" in label:
            return Blocks(tuple(self._get(where, part) for part in label.split("|")))
        if (where, label) not in self._cache:
            if label in HEAD_AXES:  # private heads: nothing learned, only the start
                links: list[Map] = [start(s.operator.stage, label).map for s in self.stages]
            else:
                links = [getattr(s.maps, where)[label] for s in self.stages]
            self._cache[where, label] = compose(links, self.vectors.get((where, label), 1))
        return self._cache[where, label]


def _grow_block(spec: TensorSpec, x: Tensor, stages: Sequence[Applied], composed: _Composed) -> Tensor:
    """Grow one stacked block tensor: widen the few small layers, then mix them into the many large ones."""
    name = spec.name.partition("{layer}.")[2]
    depths = [s.depth[name] for s in stages]
    if composed.per_layer or any(d.constant is not None for d in depths):
        for stage, depth in zip(stages, depths, strict=True):
            x = _mix(_widen(x, spec.axes, _Composed([stage], {}).block, layers=True), depth)
        return x
    mix = depths[0].mix
    for depth in depths[1:]:
        mix = depth.mix @ mix
    return _mix(_widen(x, spec.axes, composed.block, layers=True), Depth(mix))


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
    todo = [(dim + layers, maps(label)) for dim, label in enumerate(axes) if "." in label]
    if len(todo) == 2:
        (_, a), (_, b) = todo
        if 2 * b.small * a.cost + 3 * a.large * b.cost > 2 * a.small * b.cost + 3 * b.large * a.cost:
            todo.reverse()
    for dim, m in todo:
        x = m.apply(x, dim)
    return x
