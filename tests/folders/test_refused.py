"""What ``fedgrow.grow`` refuses, in what words, and that a refusal leaves nothing behind."""

import re

import pytest
import torch
import transformers
from transformers import AutoConfig

import fedgrow
from fedgrow.architectures import families
from fedgrow.architectures.models import load_model, quiet
from fedgrow.errors import ArchitectureError, FedgrowError, ShapeError
from fedgrow.folders import place
from tests import zoo
from tests.folders.making import CAUSAL, EXACT, edited, plain, saved, with_config


def refused(error, words, *arguments, out, **settings):
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(error, match=words):
        fedgrow.grow(*arguments, out=out, **settings)
    assert sorted(out.parent.rglob("*")) == before


def test_bad_targets_methods_and_models_are_refused(tmp_path):
    small, out = saved(tmp_path / "small", "llama", CAUSAL), tmp_path / "large"
    refused(ShapeError, "'depth' is no size of llama", small, "depth=3", out=out)
    refused(ShapeError, "the model's own shape", small, "layers=2", out=out)
    refused(ShapeError, "cannot grow layers from 2 to 1", small, "layers=1", out=out)
    refused(FedgrowError, "method 'magic' is unknown; choose from exact", small, "layers=3", "magic", out=out)
    refused(FedgrowError, "no Hugging Face folder or reachable hub id", "no/such", "layers=3", out=out)
    for seed in (-1, 2**62, None, "3", True, 2.0):
        refused(
            FedgrowError, f"seed: {seed!r}; give a whole number from 0", small, "layers=3", out=out, seed=seed
        )
    for wrapped in (torch.nn.Linear(2, 2), torch.nn.DataParallel(load_model(small, CAUSAL)[0])):
        words = f"{type(wrapped).__name__} is no model of transformers; give a folder"
        refused(FedgrowError, words, wrapped, "layers=3", out=out)
    refused(FedgrowError, "--parity no: choose auto, full or off", small, "layers=3", out=out, parity="no")
    refused(FedgrowError, "own folder", small, "layers=3", out=small)


def test_an_unknown_tensor_is_refused_by_name(tmp_path):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    edited(small, lambda tensors: tensors | {"model.layers.0.gate.weight": torch.ones(2)})
    refused(ArchitectureError, "model.layers.0.gate.weight", small, "layers=3", out=tmp_path / "large")


def test_a_missing_tensor_is_refused_by_name(tmp_path):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    edited(small, lambda tensors: {n: t for n, t in tensors.items() if n != "model.norm.weight"})
    refused(ArchitectureError, "model.norm.weight is missing", small, "layers=3", out=tmp_path / "large")


def test_a_missing_head_is_refused_for_it_would_be_noise(tmp_path):
    small = saved(tmp_path / "small", "bert", "sequence-classification")
    edited(small, lambda tensors: {n: t for n, t in tensors.items() if n != "classifier.weight"})
    refused(FedgrowError, "classifier.weight of head is missing", small, "layers=3", out=tmp_path / "large")


@pytest.mark.parametrize(
    ("name", "unknown", "known"),
    [
        ("bert", "BertForPreTraining", "BertForMaskedLM"),
        ("dinov2", "Dinov2Backbone", "Dinov2Model"),
        ("electra", "ElectraForCausalLM", "ElectraForPreTraining"),
        ("gpt2", "GPT2DoubleHeadsModel", "GPT2LMHeadModel"),
    ],
)
def test_a_head_without_a_table_is_refused_and_goes_on_as_one_that_has_one(tmp_path, name, unknown, known):
    family = families()[name]
    classes, small, out = transformers, tmp_path / "small", tmp_path / "large"
    model = getattr(classes, unknown)(zoo.config(family, zoo.small_shape(family)))
    model.save_pretrained(small)
    for given in (small, model):
        refused(ArchitectureError, f"the head of {unknown}; known: .*{known}", given, "layers=3", out=out)
    with quiet():
        getattr(classes, known).from_pretrained(small).save_pretrained(tmp_path / "known")
    assert fedgrow.grow(tmp_path / "known", "layers=3", out=out)["parity"]["folder"]["max_abs"] <= EXACT


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("bert", None),
        ("bert", "sequence-classification"),
        ("distilbert", "masked-language-modelling"),
        ("llama", CAUSAL),
    ],
)
def test_where_no_class_is_named_the_tensors_tell(tmp_path, name, head):
    small = with_config(saved(tmp_path / "small", name, head), architectures=None)
    assert fedgrow.grow(small, "layers=3", out=tmp_path / "large")["head"] == head
    plain(tmp_path / "large", families()[name].heads[head].architecture if head else "AutoModel")


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("gpt2", CAUSAL, "several have .* one of: GPT2Model, GPT2LMHeadModel$"),
        ("dinov2-swiglu", None, "none has just .* one of: Dinov2Model, Dinov2ForImageClassification$"),
    ],
)
def test_where_tensors_do_not_tell_the_class_has_to_be_named(tmp_path, name, head, words):
    small = with_config(saved(tmp_path / "small", name, head), architectures=None)
    refused(ArchitectureError, words, small, "layers=3", out=tmp_path / "large")


def test_a_tensor_of_another_size_is_refused_by_name(tmp_path):
    small = with_config(saved(tmp_path / "small", "llama", CAUSAL), intermediate_size=13)
    refused(ArchitectureError, r"up_proj|down_proj|gate_proj", small, "layers=3", out=tmp_path / "large")


@pytest.mark.parametrize(
    ("name", "dtype", "tensor", "value", "words"),
    [
        (
            "llama",
            torch.float32,
            "model.layers.0.mlp.up_proj.weight",
            torch.nan,
            "'small': tensor {} holds values",
        ),
        (
            "llama",
            torch.float64,
            "lm_head.weight",
            1e308,
            "'small': its outputs .* are not finite, though its weights",
        ),
        (
            "opt",
            torch.float16,
            "model.decoder.embed_positions.weight",
            6e4,
            "the grown model in float16: tensor {} holds",
        ),
    ],
)
def test_numbers_that_are_not_finite_are_refused_by_name(tmp_path, name, dtype, tensor, value, words):
    small = saved(tmp_path / "small", name, CAUSAL, dtype=dtype, tie_word_embeddings=False)
    edited(small, lambda tensors: tensors | {tensor: torch.full_like(tensors[tensor], value)})
    model = plain(small, "AutoModelForCausalLM") if dtype == torch.float64 else small
    target = "width=16" if name == "opt" else "layers=3"  # OPT's stream is scaled as it widens
    refused(FedgrowError, words.format(re.escape(tensor)), model, target, out=tmp_path / "large")


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq", "fp8"])
def test_quantized_weights_are_refused_by_name(tmp_path, method):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    with_config(small, quantization_config={"quant_method": method, "bits": 4})
    refused(ArchitectureError, "quantization_config", small, "layers=3", out=tmp_path / "large")


def test_other_files_of_weights_are_refused(tmp_path):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    (small / "model.safetensors").rename(small / "pytorch_model.bin")
    refused(FedgrowError, "only safetensors are read", small, "layers=3", out=tmp_path / "large")


def test_a_broken_file_is_refused(tmp_path):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    (small / "model.safetensors").write_bytes(b"\x00" * 9)
    refused(FedgrowError, "cannot be read", small, "layers=3", out=tmp_path / "large")


def test_a_folder_that_is_there_is_kept_unless_told_otherwise(tmp_path):
    small, out = saved(tmp_path / "small", "llama", CAUSAL), tmp_path / "large"
    out.mkdir()
    fedgrow.grow(small, "layers=3", out=out)  # an empty one is as good as none
    (out / "mine.txt").write_text("mine")
    refused(FedgrowError, "--overwrite replaces", small, "layers=4", out=out)
    fedgrow.grow(small, "layers=4", out=out, overwrite=True)
    assert not (out / "mine.txt").exists()
    assert AutoConfig.from_pretrained(out).num_hidden_layers == 4


def test_overwriting_spares_the_small_model_and_what_is_no_grown_one(tmp_path):
    work = tmp_path / "work"
    small = saved(work / "small", "llama", CAUSAL)
    refused(FedgrowError, "own folder, or holds it", small, "layers=3", out=work, overwrite=True)
    (work / "notes").mkdir()
    (work / "notes" / "mine.txt").write_text("mine")
    refused(FedgrowError, "not empty", small, "layers=3", out=work / "notes", overwrite=True)


def test_a_disk_that_is_too_small_is_refused_before(tmp_path, monkeypatch):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    monkeypatch.setattr(place.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    refused(FedgrowError, "the disk has 10", small, "layers=3", out=tmp_path / "large")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_an_interrupted_write_leaves_nothing_and_keeps_what_was_there(tmp_path, error):
    small, out = saved(tmp_path / "small", "llama", CAUSAL), tmp_path / "large"
    fedgrow.grow(small, "layers=3", out=out)

    def stop(_):
        raise error

    expected, words = (OSError, "disk full") if isinstance(error, OSError) else (error, None)
    refused(expected, words, small, "layers=4", out=out, overwrite=True, progress=stop)
    assert AutoConfig.from_pretrained(out).num_hidden_layers == 3
