import pytest
from pydantic import ValidationError

from fedgrow.architectures import Shape


def test_head_size_and_ffn_follow_from_the_width():
    shape = Shape(layers=2, width=8, heads=2)
    assert (shape.head_size, shape.ffn) == (4, 32)


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="heads: width 8 is not divisible by 3 heads"):
        Shape(layers=2, width=8, heads=3)


def test_heads_must_fill_the_width():
    with pytest.raises(ValidationError, match="head_size: 2 heads of 3 make 6, but the width is 8"):
        Shape(layers=2, width=8, heads=2, head_size=3)


@pytest.mark.parametrize("axis", ["layers", "width", "heads", "ffn"])
def test_sizes_are_positive(axis):
    with pytest.raises(ValidationError, match=axis):
        Shape(**{"layers": 2, "width": 8, "heads": 2, "ffn": 4} | {axis: 0})


def test_an_unknown_axis_is_refused():
    with pytest.raises(ValidationError, match="depth"):
        Shape(layers=2, width=8, heads=2, depth=3)


def test_text():
    assert str(Shape(layers=6, width=768, heads=12)) == "6x768 12 heads of 64 ffn 3072"
