"""``fedgrow.grow``: any folder in; a folder out that plain transformers loads."""

import json
import subprocess
import sys

import pytest
import torch
import transformers
import yaml
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

import fedgrow
from fedgrow.architectures import Shape, families
from fedgrow.architectures.models import load_config, load_model
from fedgrow.folders import source
from fedgrow.folders.parity import random_inputs
from fedgrow.single import grow as growing
from tests import zoo
from tests.folders.making import CAUSAL, EXACT, plain, same, saved, with_companions

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
    written = plain(tmp_path / "large", family.heads[head].architecture)
    loaded = getattr(transformers, family.heads[head].architecture).from_pretrained(small)
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
        small = saved(
            tmp_path / f"small-{scales}",
            "t5",
            "sequence-to-sequence-language-modelling",
            tie_word_embeddings=scales,
        )
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
    assert "base_model" not in front  # a folder here is no model of the hub
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
