"""The one approximate cell: BERT at a width that is no multiple of the old one."""

import pytest

from fedgrow.architectures import Shape
from tests import tiny
from tests.growth.growing import grown, relative_difference

SMALL = Shape(layers=2, width=32, heads=4, ffn=48)
TARGETS = [
    pytest.param(Shape(layers=2, width=40, heads=5, ffn=48), id="more heads"),
    pytest.param(Shape(layers=2, width=44, heads=4, ffn=48), id="larger heads"),
    pytest.param(Shape(layers=2, width=48, heads=6, ffn=48), id="one and a half"),
]


def duplicated(small, target):
    """Grow by plain duplication of the stream: copies are written, and readers divide by their number."""
    return grown(small, [target], ["fixed"], start="net2net")


@pytest.fixture
def small():
    return tiny.model("bert", SMALL, std=0.1, gain=1.0)


@pytest.mark.parametrize("target", TARGETS)
def test_mean_rows_are_not_exact(small, target):
    assert relative_difference("bert", small, grown(small, [target], ["tied"])) > 1e-4


@pytest.mark.parametrize("target", TARGETS)
def test_mean_rows_are_better_than_duplication(small, target):
    ours = relative_difference("bert", small, grown(small, [target], ["tied"]))
    assert ours < 0.5 * relative_difference("bert", small, duplicated(small, target))


def test_the_duplication_compared_with_is_exact_where_it_can_be(small):
    twice = Shape(layers=2, width=64, heads=8, ffn=48)
    assert relative_difference("bert", small, duplicated(small, twice)) < 1e-9
