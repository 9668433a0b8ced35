"""The split of one shard into training and held-out examples."""

from collections.abc import Hashable, Sequence

import numpy as np

from fedgrow.data.generator import generator
from fedgrow.errors import FedgrowError


def split(
    indices: Sequence[int],
    labels: Sequence[Hashable] | None,
    test_fraction: float,
    seed: int,
    units: Sequence[Sequence[int]] | None = None,
) -> tuple[list[int], list[int]]:
    """Split a shard, each class in the same proportion as far as whole examples allow.

    Every class keeps at least one training example, so a class with a single one is never held out.

    Args:
        indices: the shard.
        labels: the label of each index, in the same order; None to split without regard to labels.
        test_fraction: the part to hold out, rounded, and at least one example.
        seed: the draw depends on it.
        units: of an unlabelled shard, the indices that stay on one side together; default: each alone.

    Returns:
        Training and held-out indices, each sorted.

    Raises:
        FedgrowError: one side would be empty.
    """
    if len(indices) < 2:
        raise FedgrowError(
            f"a shard of {len(indices)} examples cannot be split into training and held-out examples; "
            "give this participant at least 2 (partition.min_examples)"
        )
    rng = generator(seed, "split")
    if units is not None and len(units) < len(indices):
        return _by_units(units, test_fraction, rng)
    classes: dict[Hashable, list[int]] = {}
    for index, label in zip(indices, [None] * len(indices) if labels is None else labels, strict=True):
        classes.setdefault(label, []).append(index)
    groups = [rng.permutation(classes[label]) for label in sorted(classes, key=str)]
    counts = _held_out(np.array([len(g) for g in groups]), test_fraction, rng)
    if not counts.sum():
        raise FedgrowError(
            f"a shard of {len(indices)} examples has a single one of every label, so none can be held out; name the "
            "column of the class, if this is another (data.label), or give more examples (partition.min_examples)"
        )
    test = [int(i) for group, n in zip(groups, counts, strict=True) for i in group[:n]]
    train = [int(i) for group, n in zip(groups, counts, strict=True) for i in group[n:]]
    return sorted(train), sorted(test)


def _by_units(
    units: Sequence[Sequence[int]], fraction: float, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Hold out whole units, in the order drawn, until the fraction is reached or one is left for training."""
    if len(units) < 2:
        raise FedgrowError(
            "all examples of a shard are about one context, so none can be held out; give this participant more contexts"
        )
    due = fraction * sum(map(len, units))
    test: list[int] = []
    train: list[int] = []
    for place, number in enumerate(rng.permutation(len(units))):
        last = place == len(units) - 1
        (train if len(test) >= due or (last and not train) else test).extend(units[number])
    return sorted(train), sorted(test)


def _held_out(sizes: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Return how many of each class to hold out: largest remainders, ties drawn, one of each class kept."""
    most = sizes - 1
    counts = np.minimum(np.floor(sizes * fraction).astype(int), most)
    total = min(max(1, round(float(sizes.sum() * fraction))), int(most.sum()))
    tie = rng.permutation(len(sizes))
    while (missing := total - int(counts.sum())) > 0:
        open_ = np.flatnonzero(counts < most)
        order = open_[np.lexsort((tie[open_], counts[open_] - sizes[open_] * fraction))]
        counts[order[:missing]] += 1
    return counts
