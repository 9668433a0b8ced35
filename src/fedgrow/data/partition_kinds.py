"""Kinds of partition, one function each; add a kind by adding a function and a line in ``KINDS``.

What is drawn is dealt out in units (``Examples.units``), each as its first row says.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from fedgrow.config.plan import PartitionPlan
from fedgrow.data.examples import Examples
from fedgrow.errors import FedgrowError

Shards = dict[str, list[int]]
REDRAWS = 100


def iid(examples: Examples, plan: PartitionPlan, names: list[str], rng: np.random.Generator) -> Shards:
    """Deal out at random, in equal numbers of units."""
    units = examples.units()
    parts = np.array_split(rng.permutation(len(units)), len(names))
    return {name: _rows(units, part) for name, part in zip(names, parts, strict=True)}


def dirichlet(examples: Examples, plan: PartitionPlan, names: list[str], rng: np.random.Generator) -> Shards:
    """Deal every class out in proportions drawn from Dirichlet(alpha): the smaller alpha, the more skew.

    Classes are the labels, or the values of ``plan.column`` where it is named.

    A draw that leaves a participant short is made again, up to ``REDRAWS`` draws.

    Source: Yurochkin et al. (2019), arXiv:1905.12022; Li et al. (2022), arXiv:2102.02079.
    """
    labels = examples.labels if plan.column is None else _values(examples, plan.column)
    if labels is None:
        raise FedgrowError(
            "partition.kind dirichlet deals out by label, but an example of this task has no single one; "
            "name a column to go by as partition.column, or choose iid"
        )
    units = examples.units()
    classes = [
        of_class for _, of_class in sorted(_rows_by_value([labels[unit[0]] for unit in units]).items())
    ]
    best: Shards = {}
    for _ in range(REDRAWS):
        shards: Shards = {name: [] for name in names}
        for of_class in classes:
            shares = rng.dirichlet(np.full(len(names), plan.alpha))
            cuts = np.round(np.cumsum(shares)[:-1] * len(of_class)).astype(int)
            for name, part in zip(names, np.split(rng.permutation(of_class), cuts), strict=True):
                shards[name] += _rows(units, part)
        if not best or _smallest(shards) > _smallest(best):
            best = shards
        if _smallest(shards) >= plan.min_examples:
            return shards
    name = min(names, key=lambda n: len(best[n]))
    raise FedgrowError(
        f"partition: in each of {REDRAWS} draws with partition.alpha {plan.alpha}, a participant had fewer "
        f"than partition.min_examples {plan.min_examples} of {len(examples)} examples; the best draw's "
        f"smallest shard had {len(best[name])} ({name}); raise alpha, lower min_examples, or use more data"
    )


def column(examples: Examples, plan: PartitionPlan, names: list[str], rng: np.random.Generator) -> Shards:
    """Deal out whole values of a column, each a natural client; no draw is made.

    A participant named like a value (letter case ignored) gets that value and no other. The remaining values
    go, largest first, to whichever other participant has fewest examples; without another, they stay unused.
    """
    values = _rows_by_value(_values(examples, plan.column))
    shards: Shards = {name: [] for name in names}
    named = {name.lower(): name for name in names}
    for value in [v for v in values if v.lower() in named]:
        shards[named[value.lower()]] += values.pop(value)
    others = [name for name in names if not shards[name]]
    if len(values) < len(others):
        raise FedgrowError(
            f"partition.column {plan.column!r} has too few values: {len(values)} for the {len(others)} of "
            f"{len(names)} participants not named like one ({', '.join(others)}); "
            "use fewer participants or another column"
        )
    for value in sorted(values, key=lambda v: (-len(values[v]), v)) if others else []:
        shards[min(others, key=lambda name: len(shards[name]))] += values[value]
    return shards


Kind = Callable[[Examples, PartitionPlan, list[str], np.random.Generator], Shards]
KINDS: dict[str, Kind] = {"iid": iid, "dirichlet": dirichlet, "column": column}


def _values(examples: Examples, name: str | None) -> list[str]:
    if name is None or name not in examples.columns:
        raise FedgrowError(f"partition.column: the examples were loaded without the column {name!r}")
    return examples.columns[name]


def _rows(units: Sequence[Sequence[int]], numbers: Iterable[int]) -> list[int]:
    return [row for number in numbers for row in units[number]]


def _rows_by_value(values: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(values):
        rows.setdefault(value, []).append(row)
    return rows


def _smallest(shards: Shards) -> int:
    return min(map(len, shards.values()))
