"""Which table a configuration gets, and how tables extend each other."""

import pytest
import transformers

from fedgrow.architectures import Shape, families, family_of
from fedgrow.architectures.registry import _over, _whole, condition
from fedgrow.errors import ArchitectureError
from tests import tiny, zoo

SHAPE = Shape(layers=2, width=8, heads=2, ffn=12)
CONDITIONS = {
    "dinov2": {"use_swiglu_ffn": False},
    "dinov2-swiglu": {"use_swiglu_ffn": True},
    "electra": {"embedding_size": 4},
    "electra-wide": {"embedding_size": 8},
    "opt": {"word_embed_proj_dim": 8, "do_layer_norm_before": True},
    "opt-post": {"word_embed_proj_dim": 4, "do_layer_norm_before": False},
    "t5": {"feed_forward_proj": "relu"},
    "t5-gated": {"feed_forward_proj": "gated-gelu"},
}


def test_every_table_loads_under_its_own_name():
    assert all(table.family == name for name, table in families().items())
    assert len(families()) == 20


@pytest.mark.parametrize("name", families())
def test_a_model_of_a_family_gets_its_table(name):
    family = families()[name]
    assert family_of(zoo.config(family, zoo.small_shape(family))) is family


@pytest.mark.parametrize("name", CONDITIONS)
def test_one_model_type_has_several_tables_told_apart_by_fields(name):
    family = families()[name]
    config = transformers.AutoConfig.for_model(
        family.model_type, hidden_size=8, num_attention_heads=2, **CONDITIONS[name]
    )
    assert family_of(config) is family


def test_a_configuration_between_the_tables_is_refused_with_what_they_want():
    config = zoo.config(families()["opt"], SHAPE, word_embed_proj_dim=4)
    with pytest.raises(
        ArchitectureError,
        match=r"opt: no growth table fits do_layer_norm_before=True, word_embed_proj_dim=4; "
        r"opt wants .*word_embed_proj_dim = hidden_size; opt-post wants .*word_embed_proj_dim != hidden_size",
    ):
        family_of(config)


def test_conditions_in_words():
    assert condition(families()["bert"]) == "model_type=bert"
    assert condition(families()["t5-gated"]) == "is_gated_act=True"
    assert condition(families()["electra-wide"]) == "embedding_size = hidden_size"


def test_a_family_without_a_table_is_refused_by_name():
    with pytest.raises(
        ArchitectureError,
        match="model_type 'mpnet' has no growth table; known families: bert, deit, dinov2, ",
    ):
        family_of(transformers.MPNetConfig())


def test_known_families_are_named_once():
    with pytest.raises(ArchitectureError) as caught:
        family_of(transformers.MPNetConfig())
    named = str(caught.value).partition("known families: ")[2].split(", ")
    assert sorted(named) == sorted({table.model_type for table in families().values()})


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("gpt2", "add_cross_attention", True),
        ("opt", "_remove_final_layer_norm", True),
        ("opt", "layer_norm_elementwise_affine", False),
    ],
)
def test_a_setting_without_a_growth_rule_is_refused_by_name(name, field, value):
    with pytest.raises(ArchitectureError, match=f"{name}: {field}={value} has no growth rule"):
        family_of(zoo.config(families()[name], SHAPE, **{field: value}))


# extends


def test_a_table_takes_from_the_one_it_extends_what_it_does_not_say():
    llama, mistral = families()["llama"], families()["mistral"]
    assert mistral.blocks == llama.blocks
    assert (
        mistral.heads["causal-language-modelling"].tensors == llama.heads["causal-language-modelling"].tensors
    )
    assert mistral.heads["causal-language-modelling"].architecture == "MistralForCausalLM"
    assert (llama.width_divides_heads, mistral.width_divides_heads) == (True, False)


def test_null_takes_an_entry_away():
    opt, post = families()["opt"], families()["opt-post"]
    assert "decoder.final_layer_norm.weight" in opt.body
    assert "decoder.final_layer_norm.weight" not in post.body
    assert "question-answering" in opt.heads
    assert "question-answering" not in post.heads
    assert "question-answering" not in families()["gemma"].heads


def test_tables_are_laid_over_each_other_entry_by_entry():
    base = {"a": 1, "deep": {"x": 1, "y": 2}, "list": [1, 2], "gone": 3}
    change = {"deep": {"y": 3, "z": 4, "x": None}, "list": [5], "gone": None, "new": {"a": None, "b": 1}}
    assert _over(base, change) == {"a": 1, "deep": {"y": 3, "z": 4}, "list": [5], "new": {"a": None, "b": 1}}
    assert base == {"a": 1, "deep": {"x": 1, "y": 2}, "list": [1, 2], "gone": 3}


def test_tables_extend_tables_that_extend_others():
    raw = {
        "one": {"family": "one", "a": 1, "b": 1, "c": 1},
        "two": {"family": "two", "extends": "one", "b": 2},
        "three": {"family": "three", "extends": "two", "c": None},
    }
    assert _whole(raw["three"], raw) == {"family": "three", "extends": "two", "a": 1, "b": 2}


def test_a_config_class_of_another_library_version_may_lack_a_refused_field():
    config = tiny.config("gpt2", SHAPE)
    del config.add_cross_attention
    assert family_of(config).family == "gpt2"
