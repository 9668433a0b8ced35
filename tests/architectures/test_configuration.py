"""From a configuration to a shape and back, what a family can have, and what is carried along."""

import pytest
import transformers

from fedgrow.architectures import Shape, families, family_of, shape_of
from fedgrow.architectures.configuration import (
    check_shape,
    new_config,
    possible_ffn,
    rope,
    rotary_share,
    with_rotary,
    with_shape,
)
from fedgrow.architectures.models import load_config
from fedgrow.errors import ShapeError
from tests import tiny, zoo

SHAPE = Shape(layers=2, width=8, heads=2, ffn=12)


def larger(family, **more):
    """Return a shape that differs from the small one in every axis that the family lets differ."""
    sizes = {"layers": 3, "heads": 4, "head_size": 6, "ffn": 20} | more
    if family.free_head_size:
        sizes["width"] = 28
    if "kv_heads" in family.config:
        sizes["kv_heads"] = 2
    if "decoder_layers" in family.config:
        sizes["decoder_layers"] = 4
    return zoo.small_shape(family, **sizes)


@pytest.mark.parametrize("name", families())
class TestEveryFamily:
    def test_a_shape_makes_the_round_trip_through_a_new_configuration(self, name):
        family = families()[name]
        shape = larger(family)
        assert shape_of(family, zoo.config(family, shape)).model_copy(update={"rotary": None}) == shape

    def test_a_shape_makes_the_round_trip_through_another_models_configuration(self, name):
        family = families()[name]
        small = zoo.config(family, zoo.small_shape(family))
        large = with_shape(small, family, larger(family), layers=[0, 0, 1])
        assert shape_of(family, large).model_copy(update={"rotary": None}) == larger(family)
        assert family_of(large) is family

    def test_the_small_configuration_is_left_alone(self, name):
        family = families()[name]
        small = zoo.config(family, zoo.small_shape(family))
        before = small.to_dict()
        with_shape(small, family, larger(family), eps_factor=0.5, layers=[0, 0, 1])
        assert small.to_dict() == before

    def test_what_does_not_follow_from_the_shape_stays(self, name):
        family = families()[name]
        small = zoo.config(family, zoo.small_shape(family), labels=5)
        large = with_shape(small, family, larger(family), layers=[0, 0, 1])
        given = {"num_labels": 5} | zoo.SETTINGS.get(name, zoo.TEXT)
        given = {field: value for field, value in given.items() if field not in family.follows_width}
        assert {field: getattr(large, field) for field in given if hasattr(large, field)} == {
            field: getattr(small, field) for field in given if hasattr(small, field)
        }

    def test_it_is_what_save_and_load_give_back(self, name, tmp_path):
        family = families()[name]
        large = with_shape(
            zoo.config(family, zoo.small_shape(family)), family, larger(family), layers=[0, 0, 1]
        )
        large.save_pretrained(tmp_path)
        loaded = load_config(tmp_path)
        assert shape_of(family, loaded) == shape_of(family, large)
        assert family_of(loaded) is family

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


def is_possible(family, ffn):
    shape = zoo.small_shape(family).model_copy(update={"ffn": ffn})
    try:
        check_shape(family, shape)
    except ShapeError:
        return False
    return True


WITH_EPS = [name for name, family in families().items() if "norm_eps" in family.config]


@pytest.mark.parametrize("name", WITH_EPS)
def test_epsilon_is_multiplied(name):
    family = families()[name]
    small = zoo.config(family, zoo.small_shape(family))
    large = with_shape(small, family, larger(family), eps_factor=0.25, layers=[0, 0, 1])
    field = family.config["norm_eps"]
    assert getattr(large, field) == 0.25 * getattr(small, field) == 0.25e-3


def test_families_without_an_epsilon_to_set_keep_it_or_fix_it_in_code():
    assert {name for name in families() if name not in WITH_EPS} == {"distilbert", "opt", "opt-post"}


# fields that follow


@pytest.mark.parametrize(
    ("name", "field"),
    [("vit", "pooler_output_size"), ("electra-wide", "embedding_size"), ("opt", "word_embed_proj_dim")],
)
def test_fields_that_follow_the_width(name, field):
    family = families()[name]
    large = with_shape(zoo.config(family, zoo.small_shape(family)), family, larger(family))
    assert getattr(large, field) == larger(family).width


@pytest.mark.parametrize("name", ["qwen2", "qwen3"])
def test_lists_with_an_entry_per_layer_follow_the_layers(name):
    family = families()[name]
    types = ["full_attention", "sliding_attention"]
    small = zoo.config(
        family, zoo.small_shape(family), layer_types=types, use_sliding_window=True, sliding_window=4
    )
    large = with_shape(small, family, larger(family), layers=[0, 1, 1])
    assert large.layer_types == [types[0], types[1], types[1]]


@pytest.mark.parametrize("scaled", [True, False])
def test_a_field_that_a_dictionary_gets_wrong_is_kept(scaled):
    family = families()["t5"]
    small = zoo.config(family, zoo.small_shape(family))
    small.scale_decoder_outputs = scaled
    assert with_shape(small, family, larger(family)).scale_decoder_outputs is scaled


def test_derived_names_of_stages_are_made_anew():
    family = families()["dinov2"]
    large = with_shape(zoo.config(family, zoo.small_shape(family)), family, larger(family))
    assert large.stage_names == ["stem", "stage1", "stage2", "stage3"]


def test_a_width_at_which_a_model_is_built_in_another_way_is_refused():
    family = families()["electra"]
    small = zoo.config(family, zoo.small_shape(family), embedding_size=24)
    with pytest.raises(
        ShapeError, match=r"electra of width 24 is built in another way \(as electra-wide, not as elec"
    ):
        with_shape(small, family, larger(family))


# reading


def test_an_ffn_that_may_be_null_is_a_multiple_of_the_width():
    assert shape_of(families()["gpt2"], tiny.config("gpt2", SHAPE, n_inner=None)).ffn == 32


@pytest.mark.parametrize(("ratio", "plain", "gated"), [(1, 8, 8), (2, 16, 16), (4, 32, 24)])
def test_an_ffn_that_is_a_ratio_of_the_width(ratio, plain, gated):
    config = transformers.Dinov2Config(hidden_size=8, num_attention_heads=2, mlp_ratio=ratio)
    assert shape_of(families()["dinov2"], config).ffn == plain
    assert shape_of(families()["dinov2-swiglu"], config).ffn == gated


def test_a_head_size_of_its_own_is_read_and_one_that_is_null_follows_from_the_width():
    family = families()["llama"]
    assert (
        shape_of(family, transformers.LlamaConfig(hidden_size=8, num_attention_heads=2, head_dim=6)).head_size
        == 6
    )
    config = transformers.LlamaConfig(hidden_size=8, num_attention_heads=2)
    config.head_dim = None
    assert shape_of(family, config).head_size == 4


@pytest.mark.parametrize(("share", "turning"), [(1.0, 8), (0.5, 4), (0.25, 2)])
def test_how_many_entries_of_a_head_turn(share, turning):
    settings = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": share}
    config = transformers.GPTNeoXConfig(hidden_size=16, num_attention_heads=2, rope_parameters=settings)
    assert shape_of(families()["gpt_neox"], config).rotary == turning
    assert rope(families()["gpt_neox"], config) == settings


def test_families_without_rotary_positions_have_none():
    assert shape_of(families()["bert"], tiny.config("bert", SHAPE)).rotary is None
    assert rope(families()["bert"], tiny.config("bert", SHAPE)) == {}


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
        r"kv_heads: gpt2 has as many as heads \(2\), not 1",
    ),
    "groups of unequal size": ("qwen2", {"heads": 4, "kv_heads": 3}, "kv_heads: 3 does not divide 4 heads"),
    "no decoder": ("t5", {"decoder_layers": None}, "decoder_layers: t5 needs decoder_layers, .* says None"),
    "a decoder too many": (
        "vit",
        {"decoder_layers": 2},
        "decoder_layers: vit has no decoder_layers, .* says 2",
    ),
    "half a pair that turns": ("qwen3", {"head_size": 3}, "head_size: .* pairs of entries, but 3 is odd"),
    "an odd part that turns": ("gpt_neox", {"rotary": 3}, "pairs of entries, but 3 is odd"),
    "more turning than there is": (
        "gpt_neox",
        {"rotary": 6},
        "rotary: 6 entries of a head .* where it has 4",
    ),
    "positions that do not turn": ("bert", {"rotary": 2}, "rotary: bert has no rotary positions, .* says 2"),
    "a broken ratio": (
        "dinov2",
        {"ffn": 12},
        "ffn: dinov2 has whole ratios .* 12 is none at width 8, .* 8, 16, 24",
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
