"""From a configuration to a shape and back, what a family can have, and what is carried along."""

import pytest
import transformers

from fedgrow.architectures import Shape, families, family_of, shape_of
from fedgrow.architectures.configuration import (
    rope,
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


@pytest.mark.parametrize(
    ("name", "field", "size"),
    [
        ("bert", "num_hidden_layers", 0),
        ("bert", "num_attention_heads", 0),
        ("gpt_neox", "num_attention_heads", -1),
        ("gpt2", "n_embd", 2**25),
    ],
)
def test_a_size_that_is_none_is_named_as_the_configuration_does(name, field, size):
    config = tiny.config(name, SHAPE) if name != "gpt_neox" else zoo.config(families()[name], SHAPE)
    setattr(config, field, size)
    with pytest.raises(
        ShapeError, match=f"configuration: {field}={size}; a size is a whole number from 1 to 1677"
    ):
        shape_of(families()[name], config)


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
