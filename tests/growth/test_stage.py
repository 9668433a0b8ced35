import math

import pytest

from fedgrow.architectures import Shape, families
from fedgrow.errors import ShapeError
from fedgrow.growth import Stage

SMALL = Shape(layers=2, width=8, heads=2, ffn=12)
BERT, GPT2 = families()["bert"], families()["gpt2"]


def to(width):
    return Shape(layers=2, width=width, heads=2, ffn=12)


SMALLER = {
    "layers": (Shape(layers=1, width=8, heads=2, ffn=12), 2, 1),
    "width": (Shape(layers=2, width=6, heads=2, ffn=12), 8, 6),
    "heads": (Shape(layers=2, width=8, heads=1, ffn=12), 2, 1),
    "head_size": (Shape(layers=2, width=8, heads=4, ffn=12), 4, 2),
    "ffn": (Shape(layers=2, width=8, heads=2, ffn=11), 12, 11),
}


@pytest.mark.parametrize("axis", SMALLER)
def test_a_smaller_axis_is_refused_by_name_with_both_sizes(axis):
    target, small, large = SMALLER[axis]
    with pytest.raises(ShapeError, match=rf"cannot grow {axis} from {small} to {large}\b.*{axis} >= {small}"):
        Stage(BERT, SMALL, target)


def test_the_same_shape_changes_nothing():
    for family in (BERT, GPT2):
        stage = Stage(family, SMALL, SMALL)
        assert (stage.eps_factor, stage.gain_scale, stage.width_is_exact) == (1, 1, True)


@pytest.mark.parametrize(
    ("family", "width", "duplicates", "exact", "eps"),
    [
        (BERT, 16, True, True, 1),
        (BERT, 12, False, False, 8 / 12),
        (GPT2, 16, False, True, 8 / 16),
        (GPT2, 12, False, True, 8 / 12),
    ],
    ids=["post-norm integer", "post-norm odd", "pre-norm integer", "pre-norm odd"],
)
def test_how_the_stream_is_widened(family, width, duplicates, exact, eps):
    stage = Stage(family, SMALL, to(width))
    assert stage.duplicates is duplicates
    assert stage.width_is_exact is exact
    assert stage.eps_factor == pytest.approx(eps)
    assert stage.gain_scale == pytest.approx(math.sqrt(eps))
