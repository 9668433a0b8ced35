"""Seeds: one stream for every purpose, the same on every machine."""

from itertools import product

from fedgrow.seeds import DATA, INIT, PARTITION, TRAIN, derive


def test_values_never_change():
    found = [derive(0), derive(0, PARTITION), derive(0, TRAIN, 2, 3), derive(7, DATA, 1)]
    assert found == [6375474603054492659, 1445747665984815037, 3292129083875090001, 5866361548094976507]


def test_purposes_participants_and_rounds_have_streams_of_their_own():
    paths = [(), *product((PARTITION, DATA, INIT, TRAIN)), *product((DATA, INIT, TRAIN), range(5))]
    paths += list(product((INIT, TRAIN), range(5), range(5)))
    seeds = {derive(seed, *path) for seed in range(3) for path in paths}
    assert len(seeds) == 3 * len(paths)


def test_they_fit_torch_and_numpy():
    assert all(0 <= derive(seed, TRAIN) < 2**63 for seed in range(100))


def test_the_order_of_a_path_counts():
    assert derive(0, 1, 2) != derive(0, 2, 1)
