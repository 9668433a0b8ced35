"""Whose preparation is part of an approach's cost."""

import pytest

from fedgrow.approaches import APPROACHES
from tests.federation import tiny_plan

FROM_ALL = {"dual-ligo", "independent", "small", "fedproto"}
FROM_COMMON = {"fedavg-grown", "fedlora", "pooled"}
FROM_NONE = {"fedavg", "fedprox", "heterofl", "fedrolex", "tfidf"}


@pytest.mark.parametrize("name", APPROACHES)
def test_preparation_counts_where_it_is_begun_with(name):
    made = tiny_plan()
    first, *others = made.participants
    public = made.model_copy(
        update={"participants": (first.model_copy(update={"model": "some/model"}), *others)}
    )
    everyone = list(range(len(made.participants)))
    expected = {
        **dict.fromkeys(FROM_ALL, (everyone, everyone)),
        **dict.fromkeys(FROM_COMMON, ([0], [])),
        **dict.fromkeys(FROM_NONE, ([], [])),
        "linear-probe": (everyone, everyone[1:]),
    }[name]
    assert tuple(list(APPROACHES[name].prepared(plan)) for plan in (made, public)) == expected
