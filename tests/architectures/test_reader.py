import pytest
import torch
import transformers
from torch import nn

from fedgrow.architectures import Shape, read
from fedgrow.errors import ArchitectureError
from tests import tiny

SHAPE = Shape(layers=2, width=8, heads=2, ffn=12)
HEADS = {
    "bert": "sequence-classification",
    "bert-mlm": "masked-language-modelling",
    "bert-body": None,
    "vit": "image-classification",
    "vit-body": None,
    "gpt2": "causal-language-modelling",
    "gpt2-classify": "sequence-classification",
    "gpt2-body": None,
}


def parameter(*shape):
    return nn.Parameter(torch.zeros(shape))


def test_every_head_of_every_table_is_read_here():
    assert set(HEADS) == set(tiny.CLASSES)


@pytest.mark.parametrize("name", tiny.CLASSES)
class TestRealModels:
    def test_shape_and_head(self, name):
        reading = read(tiny.model(name, SHAPE))
        assert reading.family.family == name.partition("-")[0]
        assert reading.shape == SHAPE
        assert reading.head == HEADS[name]

    def test_every_tensor_is_known_once(self, name):
        model = tiny.model(name, SHAPE)
        reading = read(model)
        names = [n for spec in reading.specs for n in spec.names(SHAPE.layers)]
        assert sorted([*names, *reading.tied]) == sorted(model.state_dict())

    def test_tied_tensors_share_their_memory(self, name):
        model = tiny.model(name, SHAPE)
        tensors = model.state_dict(keep_vars=True)
        assert all(tensors[tied] is tensors[source] for tied, source in read(model).tied.items())

    def test_an_unknown_tensor_is_named(self, name):
        model = tiny.model(name, SHAPE)
        model.base_model.register_parameter("adapter", parameter(3))
        with pytest.raises(ArchitectureError, match=r"does not know tensor (\w+\.)?adapter of "):
            read(model)


@pytest.mark.parametrize(
    ("name", "tied"),
    [
        ("bert", set()),
        ("bert-mlm", {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}),
        ("gpt2", {"lm_head.weight"}),
        ("gpt2-classify", set()),
    ],
)
def test_which_tensors_are_tied(name, tied):
    assert set(read(tiny.model(name, SHAPE)).tied) == tied


@pytest.mark.parametrize("name", ["bert-mlm", "gpt2"])
def test_an_untied_head_is_a_tensor_of_its_own(name):
    reading = read(tiny.model(name, SHAPE, tie_word_embeddings=False))
    assert not reading.tied
    assert any(spec.part == "head" and spec.axes[0] == "vocab" for spec in reading.specs)


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


def test_a_missing_tensor_is_named():
    model = tiny.model("bert", SHAPE)
    del model.bert.encoder.layer[1].output.dense.bias
    with pytest.raises(
        ArchitectureError, match=r"tensor bert\.encoder\.layer\.1\.output\.dense\.bias is missing"
    ):
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


def test_a_head_without_a_table_is_refused_by_name():
    model = transformers.BertForQuestionAnswering(tiny.config("bert", SHAPE))
    with pytest.raises(ArchitectureError, match="no table for the head of BertForQuestionAnswering"):
        read(model)
