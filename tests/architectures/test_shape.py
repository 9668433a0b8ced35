import pytest
from pydantic import ValidationError

from fedgrow.architectures import Shape


def test_head_size_ffn_and_groups_follow_from_the_width_and_heads():
    shape = Shape(layers=2, width=8, heads=2)
    assert (shape.head_size, shape.ffn, shape.kv_heads) == (4, 32, 2)


def test_a_head_size_of_its_own_needs_no_divisible_width():
    shape = Shape(layers=2, width=8, heads=3, head_size=5)
    assert (shape.width, shape.heads, shape.head_size) == (8, 3, 5)


def test_heads_must_divide_the_width_where_no_head_size_is_given():
    with pytest.raises(
        ValidationError, match=r"heads: width 8 is not divisible by 3 heads.*or give head_size"
    ):
        Shape(layers=2, width=8, heads=3)


@pytest.mark.parametrize(
    "axis", ["layers", "width", "heads", "kv_heads", "head_size", "ffn", "decoder_layers"]
)
def test_sizes_are_positive(axis):
    with pytest.raises(ValidationError, match=axis):
        Shape(**{"layers": 2, "width": 8, "heads": 2, "ffn": 4} | {axis: 0})


def test_an_unknown_axis_is_refused():
    with pytest.raises(ValidationError, match="depth"):
        Shape(layers=2, width=8, heads=2, depth=3)


def test_all_entries_of_a_head_turn_unless_a_part_is_named():
    assert Shape(layers=2, width=8, heads=2).rotating == 4
    assert Shape(layers=2, width=8, heads=2, rotary=2).rotating == 2


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"layers": 6, "width": 768, "heads": 12}, "6x768 12 heads of 64 ffn 3072"),
        ({"layers": 6, "width": 768, "heads": 12, "kv_heads": 4}, "6x768 12 heads (4 kv) of 64 ffn 3072"),
        ({"layers": 6, "decoder_layers": 3, "width": 8, "heads": 2}, "6+3x8 2 heads of 4 ffn 32"),
    ],
)
def test_text(sizes, text):
    assert str(Shape(**sizes)) == text
