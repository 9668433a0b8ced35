"""Batches: every example once in each shuffled pass."""

import pytest

from tests.training.toy import Rows, data, fitted


def drawn(count: int, size: int, steps: int, seed: int = 0) -> list[list[int]]:
    codec = Rows()
    fitted(codec=codec, examples=data(count), batch_size=size, steps=steps, seed=seed)
    return codec.batches


@pytest.mark.parametrize(("count", "size"), [(10, 2), (10, 5), (9, 4), (7, 3), (5, 1)])
def test_every_pass_has_every_example_once(count, size):
    batches = drawn(count, size, steps=3 * count)
    assert {len(batch) for batch in batches} == {size}
    order = [i for batch in batches for i in batch]
    for begin in range(0, 3 * count, count):
        assert sorted(order[begin : begin + count]) == list(range(count))


def test_passes_are_shuffled_anew():
    batches = drawn(10, 10, steps=2)
    assert batches[0] != batches[1]
    assert batches[0] != list(range(10))


def test_a_batch_is_no_larger_than_the_shard():
    assert [sorted(batch) for batch in drawn(3, 32, steps=2)] == [[0, 1, 2]] * 2
