"""Growth one tensor at a time, for models that shall not be held in memory: the maps and rules are those of ``grow``.

Only what a large tensor is made of is loaded: the small layers that are mixed into its layer (with the next one, where
a map takes rows from there), and tables over the vocabulary a few rows at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from fedgrow.architectures import Reading, Shape, TensorSpec
from fedgrow.architectures.axes import axis_size, grows, parts
from fedgrow.growth.canonical import canonical, stored
from fedgrow.growth.composed import OUTER, Applied, Composed
from fedgrow.growth.cost import Side, Weight, cheapest_order
from fedgrow.growth.factors import factor
from fedgrow.growth.grow import check_chain, is_vocabulary_table
from fedgrow.growth.maps import layered

ROWS = 1 << 24  # entries of a large vocabulary table that are made at a time


@runtime_checkable
class Tensors(Protocol):
    """The tensors of a small model, read one by one under the names that its class gives them."""

    def size(self, name: str) -> tuple[int, ...]:
        """Return the size of a tensor."""

    def dtype(self, name: str) -> torch.dtype:
        """Return the type that a tensor is stored in."""

    def get(self, name: str) -> Tensor:
        """Return a tensor."""

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Return a few rows of a tensor."""


@dataclass(frozen=True)
class Planned:
    """A tensor of the large model: its name, size and type, and what it is made of."""

    name: str
    size: tuple[int, ...]
    dtype: torch.dtype
    spec: TensorSpec
    layer: int | None

    @property
    def bytes(self) -> int:
        """Its size in memory and in a file."""
        return torch.Size(self.size).numel() * self.dtype.itemsize


def planned(reading: Reading, tensors: Tensors, target: Shape) -> list[Planned]:
    """Return the tensors of the large model (tied ones left out), each in the type of the one that it grows from.

    All layers of a tensor follow each other, so that layers from one source can share the work.
    """
    out = []
    for spec in reading.specs:
        first = spec.names(reading.shape)[0]
        old, dtype = tensors.size(first), tensors.dtype(first)
        size = tuple(axis_size(label, target) or n for label, n in zip(spec.axes, old, strict=True))
        for layer, name in enumerate(spec.names(target)):
            out.append(Planned(name, size, dtype, spec, layer if spec.in_block else None))
    return out


class Stream:
    """Growth of one model by one operator, tensor by tensor.

    Args:
        reading: what the small model is.
        tensors: its tensors.
        applied: the operator with its arrays; their type is the one that is computed in.
        dtype: the type that is computed in, float32 or float64.
    """

    def __init__(self, reading: Reading, tensors: Tensors, applied: Applied, dtype: torch.dtype) -> None:
        check_chain(reading.shape, [applied.operator])
        self.reading, self.tensors, self.applied, self.dtype = reading, tensors, applied, dtype
        self._composed = Composed([applied], {})
        self._widened: tuple[str, dict[int, Tensor]] = ("", {})

    def pieces(self, plan: Planned) -> Iterator[Tensor]:
        """Yield one tensor of the large model, a number of rows at a time, in the type that it is stored in."""
        spec = plan.spec
        if plan.layer is not None:
            yield stored(self.reading, spec, self._layer(spec, plan.layer, plan.size)).to(plan.dtype)
            return
        times = factor(self.reading, spec, [self.applied.operator.stage])
        for x in self._outer(spec, plan.size):
            x = self._widen(x, spec, OUTER, 0)
            yield stored(self.reading, spec, x if times == 1.0 else x * times).to(plan.dtype)

    def _outer(self, spec: TensorSpec, large: tuple[int, ...]) -> Iterator[Tensor]:
        if not is_vocabulary_table(spec):
            yield canonical(self.reading, spec, None, self._get)
            return
        count, step = large[0], max(1, ROWS // large[1])
        for start in range(0, count, step):
            yield self.tensors.rows(spec.name, start, min(start + step, count)).to(self.dtype)

    def _layer(self, spec: TensorSpec, layer: int, size: tuple[int, ...]) -> Tensor:
        """Return ``sum_j mix[i, j] W'_j + constant_i``."""
        depth = self.applied.depth[spec.key]
        mix = depth.mix[layer]
        sources = mix.nonzero().flatten().tolist()
        before, known = self._widened
        known = {j: x for j, x in known.items() if j in sources} if before == spec.name else {}
        self._widened = (spec.name, known)
        for j in sources:
            if j not in known:
                known[j] = self._widen_layer(spec, j)
        if len(sources) == 1 and mix[sources[0]] == 1.0:
            x = known[sources[0]]
        else:
            x = torch.zeros(size, dtype=self.dtype)
            for j in sources:
                x.add_(known[j], alpha=float(mix[j]))
        return x if depth.constant is None else x + depth.constant[layer].to(x.dtype)

    def _widen_layer(self, spec: TensorSpec, layer: int) -> Tensor:
        assert spec.block is not None
        where = spec.block.depth
        labels = [part for label in spec.axes if grows(label) for part in parts(label)]
        needed = [layer]
        if any(layered(m) for label in labels for m in self._composed.links(where, label)):
            needed += [layer + 1] if layer + 1 < spec.block.layers(self.reading.shape) else []
        layers = [canonical(self.reading, spec, j, self._get) for j in needed]
        x = torch.stack(layers) if len(layers) > 1 else layers[0][None]
        return self._widen(x, spec, where, 1)[0]

    def _widen(self, x: Tensor, spec: TensorSpec, where: str, first: int) -> Tensor:
        """Map every growing dimension, the first one of the tensor being dimension ``first`` of ``x``."""
        maps = {first + i: self._composed(where, label) for i, label in enumerate(spec.axes) if grows(label)}
        weight = Weight(x.numel(), {dim: Side.of(m) for dim, m in maps.items()})
        for dim in cheapest_order(weight):
            assert isinstance(dim, int)
            x = maps[dim].apply(x, dim)
        return x

    def _get(self, name: str) -> Tensor:
        return self.tensors.get(name).to(self.dtype)


def in_type(plans: list[Planned], dtype: torch.dtype) -> list[Planned]:
    """Return the same tensors in another type."""
    return [replace(plan, dtype=dtype) for plan in plans]
