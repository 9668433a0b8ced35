"""What shapes a family can have, and configurations made anew from a shape."""

import pytest

from fedgrow.architectures import Shape, families, shape_of
from fedgrow.architectures.configuration import (
    check_shape,
    new_config,
    possible_ffn,
    rotary_share,
    with_rotary,
)
from fedgrow.errors import ShapeError
from tests import zoo
from tests.architectures.test_configuration import larger


def is_possible(family, ffn):
    shape = zoo.small_shape(family).model_copy(update={"ffn": ffn})
    try:
        check_shape(family, shape)
    except ShapeError:
        return False
    return True


@pytest.mark.parametrize("name", families())
class TestEveryFamily:
    def test_a_small_shape_of_the_zoo_is_possible(self, name):
        check_shape(families()[name], zoo.small_shape(families()[name]))
        check_shape(families()[name], larger(families()[name]))

    def test_possible_ffns_are_possible_and_the_narrowest(self, name):
        family = families()[name]
        for wanted in (1, 12, 13, 40):
            found = possible_ffn(family, 8, wanted)
            shape = zoo.small_shape(family, ffn=wanted)
            check_shape(family, shape)
            assert found >= wanted
            assert found == min(n for n in range(wanted, found + 1) if is_possible(family, n))


# what a family can have

IMPOSSIBLE = {
    "heads that do not make up the width": (
        "bert",
        {"head_size": 3},
        "head_size: 2 heads of 3 make 6, .* width is 8",
    ),
    "heads that do not divide the width": (
        "llama",
        {"heads": 3, "kv_heads": 3},
        "heads: llama .* choose width 9",
    ),
    "groups where there are none": (
        "gpt2",
        {"kv_heads": 1},
        r"kv_heads: gpt2 .* kv_heads must equal heads \(2\), found 1",
    ),
    "groups of unequal size": ("qwen2", {"heads": 4, "kv_heads": 3}, "kv_heads: 3 does not divide 4 heads"),
    "no decoder": ("t5", {"decoder_layers": None}, "decoder_layers: t5 needs decoder_layers, .* says None"),
    "a decoder too many": (
        "vit",
        {"decoder_layers": 2},
        "decoder_layers: vit has no decoder_layers, .* says 2",
    ),
    "half a pair that turns": ("qwen3", {"head_size": 3}, "head_size: .* come in pairs, but 3 is odd"),
    "an odd part that turns": ("gpt_neox", {"rotary": 3}, "come in pairs, but 3 is odd"),
    "more turning than there is": (
        "gpt_neox",
        {"rotary": 6},
        "rotary: 6 rotary dimensions exceed the head size 4",
    ),
    "positions that do not turn": ("bert", {"rotary": 2}, "rotary: bert has no rotary positions, .* says 2"),
    "a broken ratio": (
        "dinov2",
        {"ffn": 12},
        "ffn: dinov2 has integer ratios .* 12 is none at width 8, .* 8, 16, 24",
    ),
    "a ratio of another rule": ("dinov2-swiglu", {"ffn": 12}, "choose from 8, 16, 16, 24"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_shape_that_a_family_cannot_have_is_refused_by_setting(case):
    name, change, text = IMPOSSIBLE[case]
    with pytest.raises(ShapeError, match=text):
        check_shape(families()[name], zoo.small_shape(families()[name]).model_copy(update=change))


# models made anew


@pytest.mark.parametrize("name", families())
def test_a_configuration_made_anew_has_the_shape(name):
    family = families()[name]
    shape = larger(family)
    config = new_config(family, shape, zoo.SETTINGS.get(name, zoo.TEXT))
    assert shape_of(family, config).model_copy(update={"rotary": None}) == shape


def test_how_many_entries_turn_is_part_of_the_shape():
    family = families()["gpt_neox"]
    shape = Shape(layers=1, width=16, heads=2, ffn=8, rotary=6)
    config = new_config(family, shape, {})
    assert shape_of(family, config) == shape
    assert config.rope_parameters["rope_theta"] == 10000.0


def test_settings_of_another_table_are_refused():
    shape = zoo.small_shape(families()["t5-gated"])
    with pytest.raises(
        ShapeError,
        match=r"family: .* make a t5, not a t5-gated; name t5, or set .* such that is_gated_act=True",
    ):
        new_config(families()["t5-gated"], shape, {"feed_forward_proj": "relu"})


@pytest.mark.parametrize("head_size", range(2, 200))
def test_shares_of_a_head_give_the_entries_back(head_size):
    assert [int(head_size * rotary_share(n, head_size)) for n in range(2, head_size + 1, 2)] == list(
        range(2, head_size + 1, 2)
    )


@pytest.mark.parametrize(("turning", "larger_head", "expected"), [(4, 8, 8), (2, 8, 2)])
def test_an_open_shape_turns_as_the_one_it_grows_from(turning, larger_head, expected):
    family = families()["gpt_neox"]
    like = Shape(layers=1, width=8, heads=2, ffn=8, rotary=turning)
    open_ = Shape(layers=1, width=2 * larger_head, heads=2, ffn=8)
    assert with_rotary(family, open_, like).rotary == expected
    assert with_rotary(families()["bert"], open_, like) == open_
