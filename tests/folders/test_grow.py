"""``fedgrow.grow``: any folder in; a folder out that plain transformers loads."""

import json
import re
import subprocess
import sys

import pytest
import torch
import transformers
import yaml
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

import fedgrow
from fedgrow.architectures import Shape, families
from fedgrow.architectures.models import load_config, load_model, quiet
from fedgrow.errors import ArchitectureError, FedgrowError, ShapeError
from fedgrow.folders import grow as growing
from fedgrow.folders import place, source
from fedgrow.folders.parity import random_inputs
from tests import zoo
from tests.folders.making import CAUSAL, edited, same, saved, with_companions, with_config

HEADS = [
    ("bert", "masked-language-modelling", "AutoModelForMaskedLM"),
    ("bert", None, "AutoModel"),
    ("dinov2", "image-classification", "AutoModelForImageClassification"),
    ("gemma", CAUSAL, "AutoModelForCausalLM"),
    ("gpt2", CAUSAL, "AutoModelForCausalLM"),
    ("gpt_neox", CAUSAL, "AutoModelForCausalLM"),
    ("llama", CAUSAL, "AutoModelForCausalLM"),
    ("t5-gated", "sequence-to-sequence-language-modelling", "AutoModelForSeq2SeqLM"),
    ("vit", "image-classification", "AutoModelForImageClassification"),
]
EXACT = 5e-5  # float32 weights; "up to epsilon" at the tests' large epsilon comes to as much


def plain(folder, auto):
    """Load a folder as any user does, in the type that it is stored in, nothing missing or left over."""
    model, info = getattr(transformers, auto).from_pretrained(folder, output_loading_info=True)
    assert [info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")] == [set()] * 3
    return model


@pytest.mark.parametrize(("name", "head", "auto"), HEADS)
def test_a_folder_that_plain_transformers_loads(tmp_path, name, head, auto):
    small = saved(tmp_path / "small", name, head, shard=2000)
    target = {"layers": 3, "width": 16}
    report = fedgrow.grow(small, target, out=tmp_path / "large", max_shard_size=10_000)
    assert report["streamed"]
    assert len([f for f in report["files"] if f.endswith(".safetensors")]) > 1
    large = plain(tmp_path / "large", auto)
    assert same(large, fedgrow.grow(small, target))
    assert large.num_parameters() == report["parameters"]["grown"]
    for receipt in (report["parity"]["growth"], report["parity"]["folder"]):
        assert receipt["max_abs"] <= EXACT
        assert receipt["logits_max_abs"] > 1e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_is_kept(tmp_path, dtype):
    small = saved(tmp_path / "small", "llama", CAUSAL, dtype=dtype)
    report = fedgrow.grow(small, "width=12,heads=3", out=tmp_path / "large")
    large = plain(tmp_path / "large", "AutoModelForCausalLM")
    assert {p.dtype for p in large.parameters()} == {dtype}
    assert same(large, fedgrow.grow(small, "width=12,heads=3"))
    exact, rounded = (report["parity"][k]["max_abs"] for k in ("growth", "folder"))
    assert exact <= 1e-6
    assert rounded <= (1e-6 if dtype == torch.float64 else 0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [*(n for n, family in families().items() if family.rotary), "t5"])
def test_in_half_precision_memory_and_folder_give_one_model(tmp_path, name, dtype):
    family = families()[name]
    head = next(iter(family.heads))
    small = saved(tmp_path / "small", name, head, dtype=dtype)
    fedgrow.grow(small, "width=12", out=tmp_path / "large", parity="off")
    written = plain(tmp_path / "large", family.heads[head].auto_class)
    loaded = getattr(transformers, family.heads[head].auto_class).from_pretrained(small)
    for model in (small, loaded):
        grown = fedgrow.grow(model, "width=12")
        assert same(grown, written)
        batch = random_inputs(written, 0)
        with torch.no_grad():
            assert torch.equal(grown(**batch)[0], written(**batch)[0])


def test_the_receipt_of_a_rounded_embedding_scale_is_of_the_weights_alone(tmp_path):
    small = saved(tmp_path / "small", "gemma", CAUSAL, dtype=torch.bfloat16)
    for number, model in enumerate((small, transformers.AutoModelForCausalLM.from_pretrained(small))):
        report = fedgrow.grow(model, "width=12", out=tmp_path / f"large-{number}")
        assert report["parity"]["growth"]["max_abs"] <= 2e-6


def test_a_loaded_model_grows_as_its_folder_does(tmp_path):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    loaded = load_model(small, CAUSAL)[0]
    before = {n: p.clone() for n, p in loaded.state_dict().items()}
    large = fedgrow.grow(loaded, "layers=3")
    assert same(large, fedgrow.grow(small, "layers=3"))
    assert all(torch.equal(p, before[n]) for n, p in loaded.state_dict().items())
    report = fedgrow.grow(loaded, "layers=3", out=tmp_path / "large")
    assert report["parity"]["folder"]["max_abs"] <= 1e-6
    assert same(large, plain(tmp_path / "large", "AutoModelForCausalLM"))


def test_every_t5_keeps_how_it_scales_its_logits(tmp_path):
    for scales in (True, False):
        small = saved(tmp_path / f"small-{scales}", "t5", HEADS[7][1], tie_word_embeddings=scales)
        out = tmp_path / f"large-{scales}"
        report = fedgrow.grow(small, "width=16", out=out)
        assert AutoConfig.from_pretrained(out).scale_decoder_outputs is scales
        assert report["parity"]["folder"]["max_abs"] <= 1e-6


def test_tokenizer_generation_settings_and_licence_go_along_and_nothing_that_runs(tmp_path):
    small = with_companions(saved(tmp_path / "small", "llama", CAUSAL))
    report = fedgrow.grow(small, "layers=3", out=tmp_path / "large")
    kept = {"tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"}
    assert set(report["copied"]) == kept | {"tekken.json", "LICENSE"}
    assert {f.suffix for f in (tmp_path / "large").iterdir()} <= {
        ".json",
        ".md",
        ".safetensors",
        ".jinja",
        "",
    }
    assert AutoTokenizer.from_pretrained(tmp_path / "large")("grow larger")["input_ids"] == [2, 3]
    assert plain(tmp_path / "large", "AutoModelForCausalLM").generation_config.max_new_tokens == 7


@pytest.mark.parametrize("loaded", [True, False])
def test_generation_settings_go_along_in_memory_too(tmp_path, loaded):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    GenerationConfig(do_sample=True, temperature=0.6).save_pretrained(small)
    model = plain(small, "AutoModelForCausalLM") if loaded else small
    if loaded:
        model.generation_config.do_sample = False  # with a temperature transformers would not save it
    fedgrow.grow(model, "layers=3", out=tmp_path / "large")
    grown = fedgrow.grow(model, "layers=3"), plain(tmp_path / "large", "AutoModelForCausalLM")
    for settings in (large.generation_config for large in grown):
        assert (settings.do_sample, settings.temperature) == (not loaded, 0.6)
        assert settings is not getattr(model, "generation_config", None)


def test_a_head_that_shares_its_memory_is_tied_whatever_the_configuration_says(tmp_path):
    small = zoo.model(families()["llama"], CAUSAL, zoo.small_shape(families()["llama"]), dtype=torch.float32)
    assert not small.config.tie_word_embeddings
    small.lm_head.weight = small.model.embed_tokens.weight
    report = fedgrow.grow(small, "width=16", out=tmp_path / "large")
    assert report["parity"]["folder"]["max_abs"] <= EXACT
    assert same(fedgrow.grow(small, "width=16"), plain(tmp_path / "large", "AutoModelForCausalLM"))
    assert not small.config.tie_word_embeddings


def test_the_card_states_parent_method_shapes_and_receipt(tmp_path):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    report = fedgrow.grow(small, "layers=3", "stack", out=tmp_path / "large", seed=4)
    card = (tmp_path / "large" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["base_model"] == "small"
    assert front["library_name"] == "transformers"
    parity = report["parity"]["growth"]["max_abs"]
    words = [
        "`stack`",
        "G_stack",
        "Seed 4",
        "float32",
        "| layers | 2 | 3 |",
        "not preserved",
        f"{parity:.3g}",
    ]
    assert [w for w in words if w not in card] == []
    assert str(tmp_path) not in card
    receipt = json.loads((tmp_path / "large" / "parity.json").read_text())
    assert receipt == report["parity"] | {"declared": "not preserved"}


def test_the_seed_decides_what_starts_at_random(tmp_path):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    assert not same(fedgrow.grow(small, "ffn=20"), fedgrow.grow(small, "ffn=20", seed=1))


def test_parity_can_be_left_out_and_is_left_out_for_large_models(tmp_path, monkeypatch):
    small = saved(tmp_path / "small", "llama", CAUSAL)
    off = fedgrow.grow(small, "layers=3", out=tmp_path / "off", parity="off")
    assert off["parity"] == {"skipped": "it was switched off"}
    monkeypatch.setattr(growing, "AUTO_PARITY", 100)
    auto = fedgrow.grow(small, "layers=3", out=tmp_path / "auto")
    assert "--parity full" in auto["parity"]["skipped"]
    assert "Not measured: " in (tmp_path / "auto" / "README.md").read_text()
    assert "folder" in fedgrow.grow(small, "layers=3", out=tmp_path / "full", parity="full")["parity"]


@pytest.mark.parametrize(
    ("name", "head", "settings"),
    [
        ("llama", CAUSAL, {"eos_token_id": [2, 5, 7]}),
        ("llama", "sequence-classification", {"pad_token_id": None}),
        ("gpt2", "sequence-classification", {"pad_token_id": None}),
        ("vit", "image-classification", {"image_size": [8, 12]}),
        ("deit", "image-classification", {"image_size": [8, 12], "patch_size": [4, 2]}),
    ],
)
def test_settings_of_every_kind_have_a_receipt(tmp_path, name, head, settings):
    small = saved(tmp_path / "small", name, head, **settings)
    report = fedgrow.grow(small, "layers=3", out=tmp_path / "large")
    assert report["parity"]["folder"]["max_abs"] <= EXACT


@pytest.mark.parametrize(("pad", "ends"), [(0, 1), (0, [1, 2]), (None, [0])])
def test_the_receipts_texts_have_no_padding_and_no_end(pad, ends):
    llama = families()["llama"]
    settings = {"vocab_size": 5, "pad_token_id": pad, "eos_token_id": ends}
    model = zoo.model(llama, CAUSAL, zoo.small_shape(llama), **settings)
    ids = random_inputs(model, 0)["input_ids"]
    assert (
        {3, 4}
        <= set(ids.flatten().tolist())
        <= {1, 2, 3, 4} - set(ends if isinstance(ends, list) else [ends])
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [("roberta", {"max_position_embeddings": 8, "pad_token_id": 5}), ("dinov2", {"image_size": [8, 12]})],
)
def test_a_model_that_does_not_run_on_random_inputs_grows_without_a_receipt(tmp_path, name, settings):
    small = saved(tmp_path / "small", name, **settings)
    report = fedgrow.grow(small, "layers=3", out=tmp_path / "large")
    assert "the small model does not run on random inputs (" in report["parity"]["skipped"]
    assert f"Not measured: {report['parity']['skipped']}." in (tmp_path / "large" / "README.md").read_text()


# refusals, and what they leave


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
    for seed in (-1, 2**62):
        refused(
            FedgrowError, f"seed: {seed}; give a whole number from 0", small, "layers=3", out=out, seed=seed
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
    plain(tmp_path / "large", families()[name].heads[head].auto_class if head else "AutoModel")


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


# files as they come


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


@pytest.mark.parametrize(("name", "head"), [("gpt2", CAUSAL), ("t5-gated", HEADS[7][1])])
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
        large = plain(tmp_path / "two", families()[name].heads[head].auto_class)
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


def test_a_hub_id_is_fetched_and_named_in_the_card(tmp_path, monkeypatch):
    small, asked = saved(tmp_path / "small", "llama", CAUSAL), {}

    def fetched(name, allow_patterns):
        asked[name] = allow_patterns
        return str(small)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    monkeypatch.setattr(
        source, "load_config", lambda name: load_config(small if name == "some/model" else name)
    )
    report = fedgrow.grow("some/model", "layers=3", out=tmp_path / "large")
    assert report["parent"] == "some/model"
    assert 'base_model: "some/model"' in (tmp_path / "large" / "README.md").read_text()
    assert not {"*.bin", "*.py", "*"} & set(asked["some/model"])


def test_a_whole_shape_may_be_the_target(tmp_path):
    small = saved(tmp_path / "small", "bert")
    shape = zoo.small_shape(families()["bert"], layers=3)
    assert isinstance(shape, Shape)
    assert fedgrow.grow(small, shape).config.num_hidden_layers == 3


def test_importing_fedgrow_is_fast():
    code = "import sys, fedgrow; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="has no attribute 'shrink'"):
        _ = fedgrow.shrink
