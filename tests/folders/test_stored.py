"""Folders as they come: names, ties and leftovers of other versions and classes."""

import pytest
import torch
from safetensors import safe_open

import fedgrow
from fedgrow.architectures import families
from fedgrow.architectures.models import quiet
from tests.folders.making import CAUSAL, edited, plain, same, saved


def test_a_body_without_prefix_under_a_class_with_a_head_is_streamed(tmp_path):
    small = saved(tmp_path / "small", "gpt2", CAUSAL)
    edited(small, lambda tensors: {n.removeprefix("transformer."): t for n, t in tensors.items()})
    assert fedgrow.grow(small, "layers=3", out=tmp_path / "large")["streamed"]
    plain(tmp_path / "large", "AutoModelForCausalLM")


def test_a_body_with_a_prefix_is_streamed(tmp_path):
    small = saved(tmp_path / "small", "bert")
    edited(small, lambda tensors: {f"bert.{n}": t for n, t in tensors.items()})
    assert fedgrow.grow(small, "layers=3", out=tmp_path / "large")["streamed"]
    plain(tmp_path / "large", "AutoModel")


@pytest.mark.parametrize(
    ("name", "head"), [("gpt2", CAUSAL), ("t5-gated", "sequence-to-sequence-language-modelling")]
)
def test_a_tied_tensor_stored_twice_is_tied_only_if_both_are_the_same(tmp_path, name, head):
    source = next(iter(families()[name].heads[head].ties.values()))
    small = saved(tmp_path / "small", name, head)
    edited(small, lambda tensors: tensors | {"lm_head.weight": tensors[source]})
    one = fedgrow.grow(small, "layers=3", out=tmp_path / "one")
    edited(small, lambda tensors: tensors | {"lm_head.weight": tensors[source] + 1})
    two = fedgrow.grow(small, "layers=3", out=tmp_path / "two")
    assert (one["streamed"], two["streamed"]) == (True, True)
    assert two["parameters"]["small"] > one["parameters"]["small"]
    assert two["parity"]["folder"]["max_abs"] <= 1e-6
    with quiet():
        large = plain(tmp_path / "two", families()[name].heads[head].architecture)
    assert same(large, fedgrow.grow(small, "layers=3"))
    assert not torch.equal(large.lm_head.weight, large.get_input_embeddings().weight)


def test_a_tied_tensor_stored_in_place_of_its_source_is_found(tmp_path):
    small = saved(tmp_path / "small", "gpt2", CAUSAL)
    edited(
        small,
        lambda tensors: {
            "lm_head.weight" if n == "transformer.wte.weight" else n: t for n, t in tensors.items()
        },
    )
    report = fedgrow.grow(small, "layers=3", out=tmp_path / "large")
    assert report["streamed"]
    assert report["parity"]["folder"]["max_abs"] <= 1e-6


MASKED = "masked-language-modelling"


@pytest.mark.parametrize(
    ("name", "head", "more"),
    [
        ("bert", None, {"embeddings.position_ids": torch.arange(5)[None]}),
        ("gpt2", CAUSAL, {"transformer.h.0.attn.bias": torch.ones(1, 1, 5, 5).tril()}),
        ("gpt2", None, {"h.0.attn.bias": torch.ones(1, 1, 5, 5).tril().bool()}),
        (
            "bert",
            MASKED,
            {"bert.pooler.dense.weight": torch.ones(8, 8), "bert.pooler.dense.bias": torch.ones(8)},
        ),
        ("roberta", MASKED, {"roberta.pooler.dense.weight": torch.ones(8, 8)}),
    ],
)
def test_what_the_class_does_not_have_is_left_out(tmp_path, name, head, more):
    """Buffers of older versions, and the pooler of pre-training."""
    small = saved(tmp_path / "small", name, head)
    edited(small, lambda tensors: tensors | more)
    assert fedgrow.grow(small, "layers=3", out=tmp_path / "large")["streamed"]
    with safe_open(tmp_path / "large" / "model.safetensors", "pt") as file:
        assert not more.keys() & set(file.keys())


def test_a_missing_pooler_is_not_made_up(tmp_path):
    small = saved(tmp_path / "small", "bert", dtype=torch.bfloat16)
    edited(small, lambda tensors: {n: t for n, t in tensors.items() if "pooler" not in n})
    report = fedgrow.grow(small, "width=16", out=tmp_path / "large")
    assert report["streamed"]
    with safe_open(tmp_path / "large" / "model.safetensors", "pt") as file:
        assert not [name for name in file.keys() if "pooler" in name]  # noqa: SIM118
    parameters = list(fedgrow.grow(small, "width=16").parameters())
    assert all(p.isfinite().all() and p.dtype == torch.bfloat16 for p in parameters)


def test_names_that_transformers_joins_or_splits_come_through_memory(tmp_path):
    small = saved(tmp_path / "small", "dinov2-swiglu", "image-classification", dtype=torch.bfloat16)
    report = fedgrow.grow(small, "layers=3,width=16", out=tmp_path / "large")
    assert report["dtype"] == "bfloat16"
    large = plain(tmp_path / "large", "AutoModelForImageClassification")
    assert {p.dtype for p in large.parameters()} == {torch.bfloat16}
    assert same(large, fedgrow.grow(small, "layers=3,width=16"))
