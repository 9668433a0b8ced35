"""Where heads, their groups and their entries go in a larger model."""

import itertools

import pytest

from fedgrow.errors import ShapeError
from fedgrow.growth.heads import Groups, entries, nearest_kv_heads


def fits(groups):
    try:
        groups.check()
    except ShapeError:
        return False
    return True


CASES = [
    Groups(heads, kv, large_heads, large_kv)
    for heads, large_heads in itertools.product(range(1, 13), range(1, 19))
    for kv, large_kv in itertools.product(range(1, heads + 1), range(1, large_heads + 1))
    if heads % kv == 0 and large_heads % large_kv == 0 and heads <= large_heads and kv <= large_kv
]
FITTING = [groups for groups in CASES if fits(groups)]
REFUSED = [groups for groups in CASES if groups not in FITTING]


def test_there_are_cases_of_both_kinds():
    assert len(FITTING) > 300
    assert len(REFUSED) > 5


def test_every_query_head_has_one_place():
    for groups in FITTING:
        placed = [old for old in groups.query_sources().tolist() if old >= 0]
        assert sorted(placed) == list(range(groups.heads)), groups


def test_every_key_value_head_is_there_equally_often():
    for groups in FITTING:
        placed = groups.kv_sources().tolist()
        assert {placed.count(old) for old in range(groups.kv_heads)} == {groups.repeats}, groups


def test_every_query_head_still_meets_its_own_key_value_head():
    for groups in FITTING:
        group, large_group = groups.heads // groups.kv_heads, groups.large_heads // groups.large_kv_heads
        kv = groups.kv_sources().tolist()
        met = {old: kv[place // large_group] for place, old in enumerate(groups.query_sources().tolist())}
        assert {old: met[old] for old in range(groups.heads)} == {
            old: old // group for old in range(groups.heads)
        }, groups


def test_groups_that_do_not_fit_are_refused_with_the_smallest_number_that_does():
    for groups in REFUSED:
        nearest = nearest_kv_heads(groups.heads, groups.kv_heads, groups.large_heads)
        with pytest.raises(ShapeError, match=rf"kv_heads: .* choose kv_heads={nearest}$"):
            groups.check()
        others = range(groups.kv_heads, groups.large_heads + 1)
        fitting = [
            n
            for n in others
            if groups.large_heads % n == 0
            and fits(Groups(groups.heads, groups.kv_heads, groups.large_heads, n))
        ]
        assert nearest == min(fitting), groups


def test_without_groups_old_heads_come_first():
    groups = Groups(3, 3, 5, 5)
    assert groups.query_sources().tolist() == groups.kv_sources().tolist() == [0, 1, 2, -1, -1]


def test_heads_of_a_group_stay_in_it():
    assert Groups(4, 2, 8, 2).query_sources().tolist() == [0, 1, -1, -1, 2, 3, -1, -1]


def test_a_group_that_is_too_large_is_spread_over_copies_of_its_key_value_head():
    groups = Groups(4, 1, 4, 2)
    assert groups.repeats == 2
    assert groups.kv_sources().tolist() == [0, 0]
    assert groups.query_sources().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("small", "large", "rotating", "step", "places"),
    [
        (4, 6, 0, 1, [0, 1, 2, 3]),
        (4, 8, 4, 2, [0, 2, 4, 6]),
        (4, 12, 4, 3, [0, 3, 6, 9]),
        (4, 6, 4, 1, [0, 1, 3, 4]),
        (4, 8, 2, 1, [0, 1, 2, 3]),
        (4, 4, 4, 1, [0, 1, 2, 3]),
    ],
    ids=[
        "nothing turns",
        "all turn, twice",
        "all turn, thrice",
        "all turn, in place",
        "a part turns",
        "same",
    ],
)
def test_places_of_a_heads_entries(small, large, rotating, step, places):
    assert entries(small, large, rotating=rotating, step=step).tolist() == places
