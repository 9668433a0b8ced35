"""What the ways of using a grown weight cost in one training step, by arithmetic over sizes alone.

    y = (E W F^T) x      W = sum_j mix[i, j] W_j

The weight may be materialised at the large size, its maps and the mixing of layers applied in any order; or activations
may meet one or both maps themselves: *pulled* through F^T before the weight, *pushed* through E after it. All ways give
the same result; which is cheapest depends on sizes, on tokens a step and on what the maps are. Forward and backward both
count: a product costs its multiplications once more for every factor that needs a gradient. Written elements count too,
for structured maps and the mixing of layers are bound by memory, not by arithmetic.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, NamedTuple

from fedgrow.growth.maps import Map, tensors

# Writing (and reading) one element takes as long as this many multiplications: 0.3 to 2 ns beside 70e9 / s on one AVX-512
# core (benchmarks/results/step_cost.md).
ELEMENT = 60

Operation = int | Literal["mix"]  # map this dimension, or mix the layers
MIX: Literal["mix"] = "mix"


class Work(NamedTuple):
    """Multiplications, and elements written."""

    multiplications: int = 0
    elements: int = 0

    def plus(self, other: "Work") -> "Work":
        """Add up."""
        return Work(self.multiplications + other.multiplications, self.elements + other.elements)

    def times(self, count: int) -> "Work":
        """Multiply."""
        return Work(self.multiplications * count, self.elements * count)

    @property
    def time(self) -> int:
        """Time in multiplications."""
        return self.multiplications + ELEMENT * self.elements


@dataclass(frozen=True)
class Side:
    """A map as the cost model sees it.

    Attributes:
        small, large: its sizes.
        cost: multiplications for one vector.
        learned: whether it needs a gradient.
    """

    small: int
    large: int
    cost: int
    learned: bool

    @classmethod
    def of(cls, m: Map) -> "Side":
        """Describe a map; whatever holds arrays is taken to learn them."""
        return cls(m.small, m.large, m.cost, bool(tensors(m)))

    @property
    def trivial(self) -> bool:
        """Whether nothing is to be done."""
        return not self.cost and self.small == self.large

    def apply(self, count: int, needs_gradient: bool) -> Work:
        """Return the work of mapping so many vectors from small to large, gradients included."""
        if self.trivial:
            return Work()
        passes = 1 + self.learned + needs_gradient
        written = self.large + needs_gradient * self.small
        return Work(count * self.cost * passes, count * written)

    def pull(self, count: int) -> Work:
        """Return the work of mapping so many activations from large to small, gradients included."""
        if self.trivial:
            return Work()
        return Work(count * self.cost * (2 + self.learned), count * (self.small + self.large))


@dataclass(frozen=True)
class Weight:
    """A grown tensor as the cost model sees it.

    Attributes:
        numel: elements of the small tensor, all its layers together.
        sides: the maps of its growing dimensions.
        layers: layers before and after; None: not in a block.
        learned: whether the small tensor itself is trained.
        mixes_last: whether layers must be mixed after all maps (each layer has its own, or a constant is added).
    """

    numel: int
    sides: Mapping[int, Side]
    layers: tuple[int, int] | None = None
    learned: bool = False
    mixes_last: bool = False

    def orders(self, leave: Iterable[int] = ()) -> list[tuple[Operation, ...]]:
        """Return the orders in which it can be materialised, but for the dimensions left to activations."""
        maps: list[Operation] = [dim for dim in self.sides if dim not in leave]
        if not self.layers:
            return list(permutations(maps))
        if self.mixes_last:
            return [(*order, MIX) for order in permutations(maps)]
        return list(permutations([*maps, MIX]))

    def growing(self, order: Iterable[Operation]) -> Work:
        """Return the work of materialising it in this order."""
        work, numel, needs_gradient = Work(), self.numel, self.learned
        for operation in order:
            if operation == MIX:
                assert self.layers is not None
                before, after = self.layers
                numel = numel // before * after
                passes = 2 + needs_gradient
                work = work.plus(Work(numel * before * passes, numel + needs_gradient * numel))
                needs_gradient = True
            else:
                side = self.sides[operation]
                work = work.plus(side.apply(numel // side.small, needs_gradient))
                numel, needs_gradient = numel // side.small * side.large, needs_gradient or side.learned
        return work

    def using(self, tokens: int, leave: Mapping[int, int]) -> Work:
        """Return the work of multiplying activations by it.

        Args:
            tokens: tokens a step.
            leave: dimensions left to activations, each with how many weights share the mapped activations.
        """
        before, after = self.layers or (1, 1)
        numel, work = self.numel // before, Work()
        for dim, side in self.sides.items():
            if dim not in leave:
                numel = numel // side.small * side.large
        work = Work(3 * tokens * numel, 0)
        for dim, shared in leave.items():
            one = self.sides[dim].pull(tokens)
            work = work.plus(Work(one.multiplications // shared, one.elements // shared))
        # the gradient of the weight is written once, and read again to go through its maps
        return work.plus(Work(0, numel)).times(after)


def cheapest_order(weight: Weight, leave: Iterable[int] = ()) -> tuple[Operation, ...]:
    """Return the cheapest order of widening and mixing; the first one of equals."""
    return min(weight.orders(leave), key=lambda order: weight.growing(order).time)


@dataclass(frozen=True)
class Way:
    """A way of using a grown weight: dimensions left to activations, and the order of the rest."""

    leave: frozenset[int]
    order: tuple[Operation, ...]


def ways(weight: Weight, dims: Iterable[int]) -> list[Way]:
    """Return every set of dimensions that may be left to activations, each with its cheapest order."""
    subsets: list[tuple[int, ...]] = [()]
    for dim in dims:
        subsets += [(*subset, dim) for subset in subsets]
    return [Way(frozenset(subset), cheapest_order(weight, subset)) for subset in subsets]


def step_work(weight: Weight, way: Way, tokens: int, shared: Mapping[int, int]) -> Work:
    """Return the work of one training step with this weight, in all its layers."""
    used = weight.using(tokens, {dim: shared.get(dim, 1) for dim in way.leave})
    return weight.growing(way.order).plus(used)


def cheapest(weight: Weight, tokens: int, shared: Mapping[int, int]) -> Way:
    """Return the cheapest way.

    Args:
        weight: the weight, its two dimensions those that activations may meet.
        tokens: tokens a step.
        shared: for a dimension, how many weights share the mapped activations (query, key and value read one norm).
    """
    return min(ways(weight, weight.sides), key=lambda way: step_work(weight, way, tokens, shared).time)
