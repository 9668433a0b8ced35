"""The common intermediate shape: every small model and the large shape are checked by the stages themselves."""

import itertools

import pytest

from fedgrow.architectures import Shape, families
from fedgrow.architectures.configuration import check_shape, possible_ffn
from fedgrow.errors import ShapeError
from fedgrow.growth import Stage
from fedgrow.growth.intermediate import smallest_intermediate
from tests import zoo

FREE = [name for name, family in families().items() if family.free_head_size]


def small_shapes(family):
    """Return three shapes of a family that hold each other in no axis."""
    grouped = "kv_heads" in family.config
    sizes = [
        {"heads": 2, "head_size": 8, "layers": 3, "ffn": 8},
        {"heads": 4, "head_size": 4, "layers": 1, "ffn": 20} | ({"kv_heads": 2} if grouped else {}),
        {"heads": 1, "head_size": 12, "layers": 2, "ffn": 12},
    ]
    if family.free_head_size:
        sizes[0]["width"], sizes[2]["width"] = 20, 28
    return [zoo.small_shape(family, **size) for size in sizes]


def large_shape(family, middle):
    """Return a shape that is larger than the intermediate one in every axis."""
    width = middle.width * 2
    more = {"layers": middle.layers + 1, "width": width, "ffn": possible_ffn(family, width, middle.ffn + 8)}
    more |= {"heads": middle.heads * 2, "kv_heads": middle.kv_heads * 2}
    if middle.decoder_layers:
        more["decoder_layers"] = middle.decoder_layers + 1
    return middle.model_copy(update=more)


@pytest.mark.parametrize("name", families())
class TestEveryFamily:
    def test_every_small_model_reaches_it_exactly(self, name):
        family = families()[name]
        found = smallest_intermediate(family, small_shapes(family))
        check_shape(family, found)
        stages = [Stage(family, small, found) for small in small_shapes(family)]
        assert all(stage.width_is_exact for stage in stages)

    def test_it_reaches_the_large_shape_exactly(self, name):
        family = families()[name]
        large = large_shape(family, smallest_intermediate(family, small_shapes(family)))
        found = smallest_intermediate(family, small_shapes(family), large=large)
        assert Stage(family, found, large).width_is_exact
        assert all(Stage(family, small, found).width_is_exact for small in small_shapes(family))

    def test_no_narrower_shape_does(self, name):
        family = families()[name]
        found = smallest_intermediate(family, small_shapes(family))
        with pytest.raises(ShapeError, match=f"no common intermediate shape up to width {found.width - 1} "):
            smallest_intermediate(family, small_shapes(family), max_width=found.width - 1)

    def test_one_model_is_its_own_intermediate_shape(self, name):
        family = families()[name]
        small = small_shapes(family)[1]
        found = smallest_intermediate(family, [small])
        assert found == Stage(family, small, small).source

    def test_the_order_does_not_matter(self, name):
        family = families()[name]
        found = {
            str(smallest_intermediate(family, order))
            for order in itertools.permutations(small_shapes(family))
        }
        assert len(found) == 1


def narrower(family, small, found):
    """Return all shapes of a family with whole heads that are narrower than one."""
    for width, heads in itertools.product(range(1, found.width), range(1, found.width + 1)):
        if width % heads == 0:
            yield found.model_copy(
                update={"width": width, "heads": heads, "kv_heads": heads, "head_size": width // heads}
            )


@pytest.mark.parametrize("name", ["bert", "vit", "gpt2"])
def test_by_trying_all_shapes_none_is_narrower(name):
    family, small = families()[name], small_shapes(families()[name])
    found = smallest_intermediate(family, small)

    def reached(shape):
        try:
            return all(Stage(family, s, shape).width_is_exact for s in small)
        except ShapeError:
            return False

    assert reached(found)
    assert [str(shape) for shape in narrower(family, small, found) if reached(shape)] == []


@pytest.mark.parametrize("name", FREE)
def test_where_head_size_is_free_the_width_need_not_hold_the_heads(name):
    family = families()[name]
    wide, many = (
        zoo.small_shape(family, heads=h, head_size=s, width=w) for h, s, w in ((2, 8, 24), (4, 4, 8))
    )
    found = smallest_intermediate(family, [wide, many])
    assert (found.width, found.heads, found.head_size) == (24, 4, 8)


def test_groups_of_heads_fit_for_all():
    family = families()["qwen2"]
    sizes = {"layers": 1, "width": 16, "head_size": 4, "ffn": 8}
    small = [Shape(**sizes, heads=8, kv_heads=2), Shape(**sizes, heads=3, kv_heads=3)]
    found = smallest_intermediate(family, small)
    assert (found.heads, found.kv_heads) == (8, 4)


def test_where_heads_must_divide_the_width_it_follows():
    family = families()["llama"]
    small = [
        Shape(layers=1, width=16, heads=4, head_size=4, ffn=8),
        Shape(layers=1, width=18, heads=3, head_size=4, ffn=8),
    ]
    found = smallest_intermediate(family, small)
    assert (found.width, found.heads) == (18, 6)


def test_both_stacks_are_as_deep_as_the_deepest():
    family = families()["t5"]
    small = [
        zoo.small_shape(family, layers=3, decoder_layers=1),
        zoo.small_shape(family, layers=1, decoder_layers=2),
    ]
    found = smallest_intermediate(family, small)
    assert (found.layers, found.decoder_layers) == (3, 2)


def test_the_ffn_keeps_to_the_familys_ratios():
    family = families()["dinov2"]
    found = smallest_intermediate(family, small_shapes(family))
    assert found.ffn % found.width == 0


def test_a_part_that_turns_is_the_same_for_all():
    family = families()["gpt_neox"]
    sizes = {"layers": 1, "width": 16, "heads": 2, "ffn": 8}
    with pytest.raises(
        ShapeError, match="rotary dimensions of a head are 2 of 8, 4 of 8; a rotary part keeps"
    ):
        smallest_intermediate(family, [Shape(**sizes, rotary=2), Shape(**sizes, rotary=4)])
    assert smallest_intermediate(family, [Shape(**sizes, rotary=2)]).rotary == 2


@pytest.mark.parametrize("axis", ["layers", "width", "heads", "head_size", "ffn"])
def test_a_large_shape_that_is_too_small_is_named_with_what_is_needed(axis):
    family = families()["vit"]
    small = [Shape(layers=2, width=16, heads=2, ffn=16)]
    large = Shape(layers=4, width=64, heads=8, ffn=64).model_copy(update={axis: 1})
    need = getattr(small[0], axis)
    with pytest.raises(
        ShapeError, match=rf"has {axis} {need}, the large shape 1; choose .* {axis} >= {need}"
    ):
        smallest_intermediate(family, small, large=large)


def test_under_post_norm_it_says_which_width_is_needed():
    family = families()["bert"]
    small = [Shape(layers=1, width=w, heads=2, ffn=8) for w in (8, 12)]
    large = Shape(layers=2, width=32, heads=4, ffn=8)
    with pytest.raises(
        ShapeError, match=r"large width 32 must be a multiple of it; .* multiple of 24 \(of every"
    ):
        smallest_intermediate(family, small, large=large)
