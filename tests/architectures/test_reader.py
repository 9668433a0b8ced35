"""Every family and head of the tables is read, tensor by tensor; what is unknown, missing or misshapen is named."""

import re

import pytest
import torch
import transformers
from torch import nn

from fedgrow.architectures import Shape, families, read
from fedgrow.errors import ArchitectureError
from tests import tiny, zoo

SHAPE = Shape(layers=2, width=8, heads=2, ffn=12)
TIED = {
    "bert": {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"},
    "roberta": {"lm_head.decoder.weight", "lm_head.decoder.bias"},
    "distilbert": {"vocab_projector.weight"},
    "electra": {"generator_lm_head.weight"},
    "electra-wide": {"generator_lm_head.weight"},
    "gpt2": {"lm_head.weight"},
    "gpt_neox": {"lm_head.weight"},
    "opt": {"lm_head.weight"},
    "opt-post": {"lm_head.weight"},
    "llama": {"lm_head.weight"},
    "mistral": {"lm_head.weight"},
    "qwen2": {"lm_head.weight"},
    "qwen3": {"lm_head.weight"},
    "gemma": {"lm_head.weight"},
    "t5": {"lm_head.weight"},
    "t5-gated": {"lm_head.weight"},
}
MODELLING = [(name, h) for name, h in zoo.NAMES if h and "language-modelling" in h]
T5S = ("t5", "t5-gated")


def parameter(*shape):
    return nn.Parameter(torch.zeros(shape))


def made(name, head, **overrides):
    family = families()[name]
    groups = {"heads": 4, "kv_heads": 2} if "kv_heads" in family.config else {}
    return zoo.model(family, head, zoo.small_shape(family, **groups), **overrides)


@pytest.mark.parametrize(("name", "head"), zoo.NAMES)
class TestEveryFamilyAndHead:
    def test_shape_and_head(self, name, head):
        model = made(name, head)
        reading = read(model)
        family = families()[name]
        groups = {"heads": 4, "kv_heads": 2} if "kv_heads" in family.config else {}
        expected = zoo.small_shape(family, **groups)
        assert reading.family is family
        assert reading.shape.model_copy(update={"rotary": None}) == expected
        assert reading.head == head

    def test_every_tensor_is_known_once(self, name, head):
        model = made(name, head)
        reading = read(model)
        names = [n for spec in reading.specs for n in spec.names(reading.shape)]
        assert sorted([*names, *reading.tied]) == sorted(model.state_dict())

    def test_tied_tensors_share_their_memory_and_no_others_do(self, name, head):
        model = made(name, head)
        tensors, tied = model.state_dict(keep_vars=True), read(model).tied
        assert all(tensors[one] is tensors[source] for one, source in tied.items())
        assert len({id(t) for n, t in tensors.items() if n not in tied}) == len(tensors) - len(tied)

    def test_an_unknown_tensor_is_named(self, name, head):
        model = made(name, head)
        model.base_model.register_parameter("adapter", parameter(3))
        full = next(n for n in model.state_dict() if n.endswith("adapter"))
        with pytest.raises(
            ArchitectureError, match=f"{name}: the table does not know tensor {re.escape(full)} of "
        ):
            read(model)

    def test_an_unknown_tensor_inside_a_block_is_named(self, name, head):
        model = made(name, head)
        block = families()[name].prefix_of(head) + families()[name].blocks[0].path.format(layer=1)
        model.get_submodule(block).register_parameter("gate", parameter(3))
        with pytest.raises(ArchitectureError, match=rf"does not know tensor {re.escape(block)}\.gate of "):
            read(model)

    def test_every_tensor_that_must_be_there_is_missed_by_name(self, name, head):
        reading = read(made(name, head))
        needed = [s for s in reading.specs if s.in_block and not reading.family.may_be_absent(s)]
        assert needed
        lost = needed[-1].names(reading.shape)[-1]
        model = made(name, head)
        parent, _, leaf = lost.rpartition(".")
        delattr(model.get_submodule(parent), leaf)
        with pytest.raises(ArchitectureError, match=f"{name}: tensor {re.escape(lost)} is missing"):
            read(model)


@pytest.mark.parametrize(("name", "head"), MODELLING)
def test_a_head_over_the_vocabulary_is_tied_if_the_configuration_says_so(name, head):
    reading = read(made(name, head, tie_word_embeddings=True))
    assert {tied for tied in reading.tied if "embed_tokens" not in tied} == TIED[name]
    assert reading.tied_head


@pytest.mark.parametrize(("name", "head"), [(n, h) for n, h in MODELLING if n not in T5S])
def test_an_untied_head_is_a_tensor_of_its_own(name, head):
    reading = read(made(name, head, tie_word_embeddings=False))
    assert not reading.tied
    assert not reading.tied_head
    assert any(spec.part == "head" and spec.axes[0] == "vocab" for spec in reading.specs)


@pytest.mark.parametrize("name", T5S)
def test_both_stacks_of_t5_share_one_table(name):
    tied = read(made(name, None)).tied
    assert tied == {f"{stack}.embed_tokens.weight": "shared.weight" for stack in ("encoder", "decoder")}


@pytest.mark.parametrize("name", T5S)
def test_a_head_on_the_encoder_has_no_decoder(name):
    reading = read(made(name, "token-classification"))
    assert not any("decoder" in spec.name for spec in reading.specs)
    assert set(reading.tied) == {"transformer.encoder.embed_tokens.weight"}


@pytest.mark.parametrize(
    ("settings", "scaled"),
    [({"scale_decoder_outputs": True}, True), ({"scale_decoder_outputs": False}, False)],
)
def test_whether_logits_are_divided_by_the_root_of_the_width(settings, scaled):
    model = made("t5", "sequence-to-sequence-language-modelling")
    model.config.scale_decoder_outputs = settings["scale_decoder_outputs"]
    assert read(model).scaled_logits is scaled


def test_optional_tensors_may_be_absent():
    without = read(tiny.model("vit", SHAPE, qkv_bias=False))
    assert not any(spec.name.endswith("q_proj.bias") for spec in without.specs)


def test_a_body_without_pooler():
    model = transformers.BertModel(tiny.config("bert", SHAPE), add_pooling_layer=False)
    assert not any(spec.part == "pooler" for spec in read(model).specs)


def test_a_buffer_that_is_saved_must_be_known_too():
    model = tiny.model("vit", SHAPE)
    model.vit.register_buffer("statistics", torch.zeros(3))
    with pytest.raises(ArchitectureError, match=r"does not know tensor vit\.statistics"):
        read(model)


def test_several_unknown_tensors_are_counted():
    model = tiny.model("vit", SHAPE)
    for name in ("one", "two", "three"):
        model.vit.register_parameter(name, parameter(1))
    with pytest.raises(ArchitectureError, match=r"tensor vit\.one .*and 2 more: vit\.three, vit\.two"):
        read(model)


def test_an_optional_tensor_missing_in_one_layer_only_is_named():
    model = tiny.model("vit", SHAPE)
    model.vit.layers[1].attention.q_proj.bias = None
    with pytest.raises(ArchitectureError, match=r"tensor vit\.layers\.1\.attention\.q_proj\.bias is missing"):
        read(model)


def test_a_tensor_of_another_size_is_named_with_both_sizes():
    model = tiny.model("gpt2", SHAPE)
    model.transformer.h[0].mlp.c_fc.weight = parameter(8, 13)
    with pytest.raises(
        ArchitectureError, match=r"h\.0\.mlp\.c_fc\.weight has shape \(8, 13\): ffn\.out is 13, .* says 12"
    ):
        read(model)


def test_a_tensor_of_other_dimensions_is_named():
    model = tiny.model("gpt2", SHAPE)
    model.transformer.ln_f.weight = parameter(8, 1)
    with pytest.raises(
        ArchitectureError, match=r"transformer\.ln_f\.weight has shape \(8, 1\); .*'norm\.gain'"
    ):
        read(model)


def test_a_field_that_is_to_be_as_wide_as_the_model_is_named():
    model = tiny.model("vit-body", SHAPE, pooler_output_size=12)
    with pytest.raises(
        ArchitectureError, match="vit: pooler_output_size=12 has no growth rule beside a width of 8; "
    ):
        read(model)


@pytest.mark.parametrize(
    ("name", "unknown"), [("bert", "BertForMultipleChoice"), ("dinov2", "Dinov2Backbone")]
)
def test_a_head_without_a_table_is_refused_by_name(name, unknown):
    family = families()[name]
    model = getattr(transformers, unknown)(zoo.config(family, zoo.small_shape(family)))
    with pytest.raises(ArchitectureError, match=f"no table for the head of {unknown}"):
        read(model)
