"""Growth as one pure function: tensors, table and operators in; tensors out.

    W' = E W F^T      b' = E b      W'_i = sum_j mix[i, j] W'_j
    gain'_i = sum_j mix[i, j] G gain_j + constant_i

(docs/method.md; LiGO, Wang et al., ICLR 2023, equations 5 to 8.) Gradients reach the arrays of every
operator, and the small tensors if they ask for them, in one backward pass.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from fedgrow.architectures import Reading, Shape, TensorSpec
from fedgrow.architectures.axes import grows
from fedgrow.errors import ShapeError
from fedgrow.growth.canonical import stored
from fedgrow.growth.composed import OUTER, Applied, Composed, vectors
from fedgrow.growth.cost import MIX, Side, Weight, cheapest_order
from fedgrow.growth.depth import Depth
from fedgrow.growth.factors import factor
from fedgrow.growth.maps import Map, layered, tensors
from fedgrow.growth.operators.base import Operator
from fedgrow.growth.paths import Path, Paths, in_turn


def grow(
    reading: Reading,
    stacked: Mapping[str, Tensor],
    stages: Sequence[Applied],
    *,
    factored_vocabulary: bool = False,
    paths: Paths | None = None,
) -> dict[str, Tensor]:
    """Grow a small model's tensors through one or more operators.

    Args:
        reading: what the small model is.
        stacked: its tensors, as ``stack`` lays them out.
        stages: the operators, the one nearest to the small model first (Local-LiGO, then Global-LiGO).
        factored_vocabulary: leave tables over the vocabulary as their two factors, ``<module>.small``
            (vocabulary, small width) and ``<module>.map`` (large width, small width), for ``skeleton`` to
            look up and then map.
        paths: weights to leave as factors too, for a ``skeleton`` with the same paths: ``<module>.weight`` as far as it
            is materialised, and the arrays of the maps that activations meet.

    Returns:
        The large model's tensors, under their Hugging Face names.

    Raises:
        ShapeError: the stages do not follow on from the small model or from each other.
    """
    check_chain(reading.shape, [s.operator for s in stages])
    paths = paths or Paths()
    composed = Composed(stages, vectors(reading, stacked, paths.tokens))
    target = stages[-1].operator.stage.target
    out: dict[str, Tensor] = {}
    for spec in reading.specs:
        x = stacked[spec.name]
        times = factor(reading, spec, [s.operator.stage for s in stages])
        if spec.in_block:
            path = paths.chosen.get(spec.name)
            grown = stored(reading, spec, _grow_block(spec, x, stages, composed, path))
            out.update(zip(spec.names(target), grown.unbind(0), strict=True))
            if path:
                out.update(_factors(spec, path, stages, composed))
        elif factored_vocabulary and is_vocabulary_table(spec):
            module = spec.name.removesuffix(".weight")
            out[f"{module}.small"] = x
            out[f"{module}.map"] = composed(OUTER, spec.axes[1]).dense().to(x) * times
        else:
            maps = {dim: composed(OUTER, label) for dim, label in enumerate(spec.axes) if grows(label)}
            x = _apply(x, maps, None, cheapest_order(_weight(x, maps, None)))
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


def _grow_block(
    spec: TensorSpec, x: Tensor, stages: Sequence[Applied], composed: Composed, path: Path | None
) -> Tensor:
    """Grow one stacked block tensor, but for the dimensions that a path leaves to activations.

    Stage by stage where layers are mapped one by one or something is added in between, else by the product of all maps.
    """
    assert spec.block is not None
    where = spec.block.depth
    depths = [s.depth[spec.key] for s in stages]
    if path is None and len(stages) > 1 and in_turn(spec, stages, composed):
        for stage in stages:
            x = _grow_block(spec, x, [stage], Composed([stage], {}), None)
        return x
    leave = path.way.leave if path else ()
    maps = {dim: composed(where, label) for dim, label in enumerate(spec.axes) if grows(label)}
    depth = _product(depths)
    shifted = {dim + 1: m for dim, m in maps.items()}
    order = cheapest_order(_weight(x, shifted, depth), [dim + 1 for dim in leave])
    x = _apply(x, shifted, depth, order)
    if (offset := stages[-1].offsets.get(spec.key)) is not None:
        return x + offset
    residual = None if path else stages[-1].residuals.get(spec.key)
    return x if residual is None else torch.baddbmm(x, residual.up, residual.down.mT)


def _factors(
    spec: TensorSpec, path: Path, stages: Sequence[Applied], composed: Composed
) -> dict[str, Tensor]:
    """Return the arrays that activations meet, for every layer of the large model."""
    assert spec.block is not None
    found: dict[str, Tensor] = {}
    names = [name.removesuffix(".weight") for name in spec.names(stages[-1].operator.stage.target)]
    for dim in sorted(path.way.leave):
        part = "pull" if dim == path.reads else "push"
        for i, array in enumerate(tensors(composed(spec.block.depth, spec.axes[dim]))):
            found |= {f"{name}.{part}_{i}": array for name in names}
    if path.residual:
        residual = stages[-1].residuals[spec.key]
        up, down = (residual.down, residual.up) if path.reads == 0 else (residual.up, residual.down)
        for i, name in enumerate(names):
            found |= {f"{name}.residual_up": up[i], f"{name}.residual_down": down[i]}
    return found


def _product(depths: Sequence[Depth]) -> Depth:
    if len(depths) == 1:
        return depths[0]
    mix = depths[0].mix
    for depth in depths[1:]:
        mix = depth.mix.to(mix) @ mix
    return Depth(mix)


def _weight(x: Tensor, maps: Mapping[int, Map], depth: Depth | None) -> Weight:
    layers = (depth.mix.shape[1], depth.mix.shape[0]) if depth else None
    last = any(layered(m) for m in maps.values()) or (depth is not None and depth.constant is not None)
    return Weight(
        x.numel(), {dim: Side.of(m) for dim, m in maps.items()}, layers, x.requires_grad, mixes_last=last
    )


def _apply(x: Tensor, maps: Mapping[int, Map], depth: Depth | None, order: Collection[object]) -> Tensor:
    """Map dimensions and mix layers in the given order."""
    for operation in order:
        if operation == MIX:
            assert depth is not None
            x = _mix(x, depth)
        else:
            assert isinstance(operation, int)
            x = maps[operation].apply(x, operation)
    return x


def _mix(x: Tensor, depth: Depth) -> Tensor:
    mixed = (depth.mix.to(x) @ x.flatten(1)).reshape(-1, *x.shape[1:])
    if depth.constant is not None:
        mixed = mixed + depth.constant.to(x).reshape(-1, *[1] * (x.dim() - 1))
    return mixed
