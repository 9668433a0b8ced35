"""Pulling through a map is its transpose, and gradients go back through both."""

import pytest
import torch

from fedgrow.growth.maps import (
    Blocks,
    Chain,
    Interleaved,
    LowRank,
    Matrix,
    Selection,
    Topped,
    over_tensors,
    tensors,
)
from fedgrow.growth.maps.selection import MOST_RUNS
from tests.growth.mapping import LARGE, SMALL, random, selection


def many_runs(size, *, mean):
    index = torch.arange(3 * size).flip(0) % size
    index[::5] = size if mean else 0
    return Selection(index, torch.linspace(-1, 2, len(index), dtype=torch.float64), size)


DUPLICATE = selection([0, 1, 2, 3, 0, 1])
MEAN = selection([0, 1, 2, 3, SMALL, SMALL], [1.0, 1.0, 1.0, 1.0, 1.0, 3.0])
SCATTERED = selection([3, SMALL, 0, 1, 1, 2], [1.0, 2.0, 0.5, 0.5, 0.0, -1.0])
THIN = LowRank(MEAN, random(LARGE, 2, seed=1), random(SMALL, 2, seed=2))
LAST = torch.tensor([False] * 4 + [True] * 2)
BETWEEN = torch.tensor([True, False, False, True, False, False])
MAPS = {
    "matrix": Matrix(random(LARGE, SMALL)),
    "duplicate": DUPLICATE,
    "mean": MEAN,
    "scattered": SCATTERED,
    "zeros": selection([0, 1, 2], [0.0, 0.0, 0.0]),
    "identity": selection([0, 1, 2, 3]),
    "many runs": many_runs(40, mean=False),
    "many runs with means": many_runs(40, mean=True),
    "low-rank": THIN,
    "new rows last": Topped(DUPLICATE, random(2, SMALL), LAST),
    "new rows between": Topped(selection([0, 0, 1, 1, 2, 3]), random(2, SMALL), BETWEEN),
    "no new rows": Topped(DUPLICATE, random(0, SMALL), torch.zeros(LARGE, dtype=torch.bool)),
    "chain": Chain((THIN, Matrix(random(8, LARGE)))),
    "blocks": Blocks((selection([0, 1, 1], size=2), Matrix(random(3, 2)))),
    "interleaved": Interleaved((selection([0, 1, 2, 3, 0, 1]), Matrix(random(6, 4))), 2, 3),
}
every_map = pytest.mark.parametrize("map_", MAPS.values(), ids=MAPS)


@every_map
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_pull_is_the_transpose_in_every_dimension(map_, rank):
    for dim in range(-rank, rank):
        shape = [2, 3, 5, 7][:rank]
        shape[dim] = map_.large
        x = random(*shape)
        expected = torch.einsum("ls,l...->s...", map_.dense(), x.movedim(dim, 0)).movedim(0, dim)
        torch.testing.assert_close(map_.pull(x, dim), expected)


@every_map
def test_apply_is_the_matrix(map_):
    x = random(3, map_.small)
    torch.testing.assert_close(map_.apply(x, -1), x @ map_.dense().mT)


@every_map
@pytest.mark.parametrize("way", ["apply", "pull"])
def test_gradients(map_, way):
    x = random(1, map_.small if way == "apply" else map_.large).requires_grad_()
    arrays = [a.clone().requires_grad_() for a in tensors(map_)]

    def run(x, *arrays):
        queue = iter(arrays)
        bound = over_tensors(map_, lambda _: next(queue))
        return getattr(bound, way)(x, -1)

    assert torch.autograd.gradcheck(run, (x, *arrays))
    assert torch.autograd.gradgradcheck(run, (x, *arrays))


def test_few_runs_are_slices_and_many_are_a_gather():
    assert [tuple(run)[:3] for run in DUPLICATE.runs] == [(0, 0, 4), (4, 0, 2)]
    assert MEAN.runs[1:] == ((4, 4, 1, 1.0), (5, 4, 1, 3.0))
    assert many_runs(MOST_RUNS, mean=False).runs is None
