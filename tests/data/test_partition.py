import hashlib
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedgrow.config.plan import PartitionPlan
from fedgrow.data.examples import Examples
from fedgrow.data.partition import Partition, partition
from fedgrow.errors import FedgrowError
from tests.data.making import labelled

NAMES = ["north", "east", "south"]


def dealt(examples, names=NAMES, seed=0, **plan):
    return partition(examples, PartitionPlan(**{"min_examples": 1} | plan), names, seed)


def sizes(made):
    return {name: len(rows) for name, rows in made.shards.items()}


def assert_sound(made, count, *, whole):
    """Shards are sorted, within range and disjoint; with ``whole`` they hold every row."""
    rows = [row for shard in made.shards.values() for row in shard]
    assert all(shard == sorted(shard) for shard in made.shards.values())
    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(range(count))
    assert not whole or len(rows) == count


# iid


def test_iid_deals_out_equal_numbers():
    made = dealt(labelled(2, 10))
    assert sizes(made) == {"north": 7, "east": 7, "south": 6}
    assert_sound(made, 20, whole=True)
    assert made.shards["north"] != list(range(7))


@pytest.mark.parametrize("plan", [{}, {"kind": "dirichlet"}, {"max_examples": 10}])
def test_the_seed_decides(plan):
    examples = labelled(4, 30)
    assert dealt(examples, seed=3, **plan) == dealt(examples, seed=3, **plan)
    assert dealt(examples, seed=3, **plan).digest != dealt(examples, seed=4, **plan).digest


@pytest.mark.parametrize(("kind", "digest"), [("iid", "e89ed7cc96af"), ("dirichlet", "2b21b7b78153")])
def test_the_draw_is_the_same_on_every_machine(kind, digest):
    assert dealt(labelled(4, 30), kind=kind).digest[:12] == digest


def test_shards_below_the_minimum_are_refused():
    with pytest.raises(
        FedgrowError, match=r"participant south: its shard has 6 of 20 .* 7; lower it"
    ) as caught:
        dealt(labelled(2, 10), min_examples=7)
    assert "partition.min_examples 7" in str(caught.value)


# dirichlet


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    alpha=st.floats(0.05, 100),
    least=st.integers(1, 12),
    people=st.integers(1, 6),
    classes=st.integers(1, 5),
    each=st.integers(1, 40),
    seed=st.integers(0, 2**63),
)
def test_dirichlet_shards_are_disjoint_and_large_enough(alpha, least, people, classes, each, seed):
    names = [f"p{i}" for i in range(people)]
    examples = labelled(classes, each)
    refused = None
    try:
        made = dealt(examples, names, seed, kind="dirichlet", alpha=alpha, min_examples=least)
    except FedgrowError as error:
        refused = str(error)
    if refused:
        assert people > 1 or classes * each < least
        assert "100 draws" in refused
        return
    assert_sound(made, len(examples), whole=True)
    assert min(sizes(made).values()) >= least


def test_alpha_decides_the_skew():
    def largest_share(alpha):
        examples = labelled(5, 200)
        shards = dealt(examples, kind="dirichlet", alpha=alpha).shards
        return [max(Counter(examples.take(s).labels).values()) / len(s) for s in shards.values()]

    assert max(largest_share(1000)) < 0.25
    assert max(largest_share(0.05)) > 0.4


def test_shards_of_one_class_are_allowed():
    examples = labelled(3, 20)
    found = set()
    for seed in range(30):
        made = dealt(examples, seed=seed, kind="dirichlet", alpha=0.01)
        found |= {len(set(examples.take(rows).labels)) for rows in made.shards.values()}
    assert 1 in found


@pytest.mark.parametrize("alpha", [5e-324, 1e-5, 1e308])
def test_extreme_alpha_is_dealt_or_refused(alpha):
    with pytest.raises(FedgrowError) as caught:
        dealt(labelled(2, 10), kind="dirichlet", alpha=alpha, min_examples=6)
    assert f"partition.alpha {alpha}" in str(caught.value)


def test_dirichlet_that_cannot_be_names_all_it_depends_on():
    with pytest.raises(FedgrowError) as caught:
        dealt(labelled(2, 10), kind="dirichlet", alpha=0.1, min_examples=7)
    text = str(caught.value)
    for part in (
        "partition.alpha 0.1",
        "partition.min_examples 7",
        "of 20 examples",
        "smallest shard had",
        "raise alpha",
    ):
        assert part in text


def test_dirichlet_needs_labels():
    with pytest.raises(FedgrowError, match=r"deals out by label.*partition\.column"):
        dealt(Examples(["a"] * 30), kind="dirichlet")


# column


def by_column(values, names=NAMES, **plan):
    return dealt(labelled(1, len(values), values), names, kind="column", column="site", **plan)


def test_values_go_largest_first_to_whoever_has_fewest():
    made = by_column([*"aaaaa", *"bbbb", *"ccc", *"dd", "e"])
    assert made.shards["north"] == [0, 1, 2, 3, 4]  # a
    assert made.shards["east"] == [5, 6, 7, 8, 14]  # b, then e: first of those with 4
    assert made.shards["south"] == [9, 10, 11, 12, 13]  # c, then d


def test_values_of_one_size_go_by_their_order():
    assert by_column(["z", "y", "x"]).shards == {"north": [2], "east": [1], "south": [0]}


def test_a_participant_named_like_a_value_gets_it_alone():
    made = by_column(["SOUTH", "a", "a", "a", "b", "b", "c", "South"])
    assert made.shards == {"south": [0, 7], "north": [1, 2, 3], "east": [4, 5, 6]}


def test_other_values_stay_unused_where_all_are_named_like_one():
    made = by_column(["east", "north", "south", "west", "west"])
    assert made.shards == {"north": [1], "east": [0], "south": [2]}


@pytest.mark.parametrize(
    ("values", "wanted"), [("aabb", "2 for the 3 of 3"), (["east", "EAST", "a"], "1 for the 2 of 3")]
)
def test_fewer_values_than_participants(values, wanted):
    with pytest.raises(FedgrowError, match=f"too few values: {wanted} participants") as caught:
        by_column(list(values))
    assert "use fewer participants or another column" in str(caught.value)


def test_column_shards_below_the_minimum_are_refused():
    with pytest.raises(FedgrowError, match="participant south: its shard has 1 of 6"):
        by_column([*"aaabbc"], min_examples=2)


def test_a_column_that_was_not_loaded():
    with pytest.raises(FedgrowError, match="without the column 'site'"):
        dealt(labelled(1, 9), kind="column", column="site")


@settings(derandomize=True, deadline=None, max_examples=60)
@given(values=st.lists(st.sampled_from(["a", "b", "c", "d", "East"]), min_size=1, max_size=40))
def test_no_value_is_torn(values):
    try:
        made = by_column(values)
    except FedgrowError:
        assert len(set(values)) < 3
        return
    assert_sound(made, len(values), whole=True)
    owners = {}
    for name, rows in made.shards.items():
        for row in rows:
            assert owners.setdefault(values[row], name) == name


# the cap, and what is written


@pytest.mark.parametrize(
    "plan", [{}, {"kind": "dirichlet", "alpha": 1}, {"kind": "column", "column": "site"}]
)
def test_max_examples_draws_from_each_shard(plan):
    examples = labelled(2, 60, ["a", "b", "c", "d"] * 30)
    whole, capped = dealt(examples, **plan), dealt(examples, max_examples=15, **plan)
    assert_sound(capped, 120, whole=False)
    for name in NAMES:
        assert set(capped.shards[name]) <= set(whole.shards[name])
        assert len(capped.shards[name]) == min(15, len(whole.shards[name]))
    assert any(capped.shards[name] != whole.shards[name][:15] for name in NAMES)


def test_a_cap_below_the_minimum():
    with pytest.raises(
        FedgrowError, match=r"max_examples is 5, below partition.min_examples 8; raise the first"
    ):
        dealt(labelled(2, 30), max_examples=5, min_examples=8)


def test_json_and_back():
    made = dealt(labelled(2, 10))
    assert Partition.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_the_digest_does_not_depend_on_the_order_of_participants():
    assert Partition.of({"a": [1], "b": [2]}).digest == Partition.of({"b": [2], "a": [1]}).digest
    assert Partition.of({"a": [1], "b": [2]}).digest != Partition.of({"a": [2], "b": [1]}).digest


def test_the_digest_is_that_of_canonical_json():
    expected = hashlib.sha256(b'{"a":[1,2],"b":[0]}').hexdigest()
    assert Partition.of({"b": [0], "a": [1, 2]}).digest == expected


def test_a_changed_partition_is_refused():
    written = dealt(labelled(2, 10)).to_json()
    written["shards"]["north"].append(99)
    with pytest.raises(
        FedgrowError, match=r"partition was changed: its digest is \w{64}, recorded is \w{64}"
    ):
        Partition.from_json(written)


def test_nobody_shares():
    assert Partition.from_json(Partition.of({}).to_json()).shards == {}
