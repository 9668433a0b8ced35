from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgrow.data.split import split
from fedgrow.errors import FedgrowError


def test_classes_keep_their_proportions():
    labels = ["a"] * 40 + ["b"] * 20 + ["c"]
    train, test = split(range(61), labels, 0.25, 0)
    assert Counter(labels[i] for i in test) == {"a": 10, "b": 5}
    assert sorted(train + test) == list(range(61))


def test_what_is_left_over_goes_to_the_largest_remainders():
    labels = ["a"] * 7 + ["b"] * 4 + ["c"] * 4  # 3 of 15, so 1.4, 0.8 and 0.8
    for seed in range(10):
        _, test = split(range(15), labels, 0.2, seed)
        assert Counter(labels[i] for i in test) == {"a": 1, "b": 1, "c": 1}


def test_equal_remainders_are_drawn():
    labels = ["a", "a", "b", "b"]
    assert {labels[split(range(4), labels, 0.25, seed)[1][0]] for seed in range(20)} == {"a", "b"}


def test_indices_are_those_of_the_shard():
    train, test = split([50, 7, 31, 9], ["a", "a", "b", "b"], 0.5, 0)
    assert sorted(train + test) == [7, 9, 31, 50]
    assert len({7, 50} & set(test)) == len({9, 31} & set(test)) == 1


@pytest.mark.parametrize("labels", [None, ["a", "b"] * 50])
def test_the_seed_decides(labels):
    assert split(range(100), labels, 0.3, 1) == split(range(100), labels, 0.3, 1)
    assert split(range(100), labels, 0.3, 1) != split(range(100), labels, 0.3, 2)


def test_the_draw_is_the_same_on_every_machine():
    assert split(range(10), None, 0.3, 0)[1] == [2, 4, 9]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    labels=st.lists(st.sampled_from("abcdef"), min_size=2, max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63),
)
def test_both_sides_hold_something_and_no_class_is_held_out_whole(labels, fraction, seed):
    sizes = Counter(labels)
    if max(sizes.values()) == 1:
        with pytest.raises(FedgrowError, match="a single one of every label"):
            split(range(len(labels)), labels, fraction, seed)
        return
    train, test = split(range(len(labels)), labels, fraction, seed)
    assert train
    assert test
    assert (train, test) == (sorted(train), sorted(test))
    assert sorted(train + test) == list(range(len(labels)))
    held = Counter(labels[i] for i in test)
    assert all(held[label] < size for label, size in sizes.items())
    room = sum(size - 1 for size in sizes.values())
    assert len(test) == min(max(1, round(len(labels) * fraction)), room)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(count=st.integers(2, 60), fraction=st.floats(0.01, 0.99))
def test_without_labels(count, fraction):
    train, test = split(range(count), None, fraction, 0)
    assert sorted(train + test) == list(range(count))
    assert len(test) == min(max(1, round(count * fraction)), count - 1)


def test_a_shard_of_one_class():
    train, test = split(range(8), ["a"] * 8, 0.25, 0)
    assert (len(train), len(test)) == (6, 2)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_examples(count):
    with pytest.raises(FedgrowError, match=f"a shard of {count} examples cannot be split .* at least 2"):
        split(range(count), None, 0.5, 0)


def test_a_single_example_of_every_label():
    with pytest.raises(FedgrowError, match="a shard of 3 examples has a single one of every label"):
        split(range(3), ["a", "b", "c"], 0.5, 0)


def test_labels_go_with_indices():
    with pytest.raises(ValueError, match="zip"):
        split([1, 2, 3], ["a", "a"], 0.5, 0)
