"""``fedgrow inspect``: what models are and can grow to."""

import json
from pathlib import Path

import pytest
import torch

from fedgrow.architectures import Shape, families
from fedgrow.config.text import read_yaml
from fedgrow.federated.resolve import resolve
from fedgrow.growth.exactness import cells
from tests.architectures.folders import edit_config, edit_tensors, folder
from tests.cli.running import refused
from tests.config.parsing import parsed
from tests.tasks.making import tokenizer

MODELS = Path(__file__).parents[3] / "shared" / "data" / "models"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bert", ["bert (post-norm)", "2x8 2 heads of 4 ffn 12", "sequence-classification", "approximate"]),
        ("vit", ["vit (pre-norm)", "2x8 2 heads of 4 ffn 12", "image-classification"]),
        ("gpt2", ["gpt2 (pre-norm)", "causal-language-modelling"]),
        ("llama", ["llama (pre-norm)", "causal-language-modelling", "key-value heads"]),
        ("t5", ["t5 (pre-norm)", "2+2x8 2 heads of 4 ffn 12", "decoder layers"]),
        ("bert-body", ["head: none"]),
    ],
)
def test_one_model(run, tmp_path, name, words):
    folder(tmp_path / "m", name)
    outcome = run("inspect", tmp_path / "m")
    assert outcome.code == 0
    expected = [
        "FFN width",
        "width, integer multiple",
        "width, other ratio",
        "layers",
        "all together",
        *words,
    ]
    assert [w for w in expected if w not in outcome.words] == []
    assert ("approximate" in outcome.words) is name.startswith("bert")
    assert "intermediate" not in outcome.words


def test_a_head_without_a_table_is_told(run, tmp_path):
    folder(tmp_path / "m", "bert-body")
    edit_config(tmp_path / "m", architectures=["BertForPreTraining"])
    assert "head: none known (BertForPreTraining has no table, so `grow` refuses it)" in " ".join(
        run("inspect", tmp_path / "m").words.split()
    )
    (model,) = json.loads(run("inspect", tmp_path / "m", "--json").stdout)["models"].values()
    assert (model["head"], model["unknown_heads"]) == (None, ["BertForPreTraining"])


@pytest.mark.parametrize("name", ["bert", "vit", "llama", "t5"])
def test_every_direction_of_the_family_is_told_with_its_rule(run, tmp_path, name):
    folder(tmp_path / "m", name)
    value = json.loads(run("inspect", tmp_path / "m", "--json").stdout)
    (model,) = value["models"].values()
    assert model["growth"] == [cell.as_dict() for cell in cells(families()[name])]
    assert all(cell["rule"] for cell in model["growth"])


def pair(folder_: Path, name: str = "bert") -> tuple[Path, Path]:
    for model, width in (("m8", 8), ("m12", 12)):
        sizes = {"hidden_size": width} if name == "bert" else {"n_embd": width}
        folder(folder_ / model, name, **sizes)
    return folder_ / "m8", folder_ / "m12"


def test_several_models_have_a_common_shape(run, tmp_path):
    outcome = run("inspect", *pair(tmp_path))
    assert "Smallest common intermediate shape: 2x24 2 heads of 12 ffn 12" in outcome.words
    line = next(line for line in outcome.stdout.splitlines() if line.startswith("intermediate: "))
    assert str(Shape(**read_yaml(line)["intermediate"])) == "2x24 2 heads of 12 ffn 12"


def test_under_pre_norm_the_widest_is_enough(run, tmp_path):
    outcome = run("inspect", *pair(tmp_path, "gpt2"))
    assert "Smallest common intermediate shape: 2x12 2 heads of 6 ffn 12" in outcome.words


def test_below_a_width_there_may_be_none_and_it_says_why(run, tmp_path):
    outcome = run("inspect", *pair(tmp_path), "--max-width", 23)
    assert outcome.code == 0
    assert "no common intermediate shape up to width 23" in outcome.words
    assert "the width must be a multiple of 24" in outcome.words


def shape(**sizes):
    same = {"layers": 2, "heads": 2, "kv_heads": 2, "ffn": 12, "decoder_layers": None, "rotary": None}
    return same | sizes


def test_json(run, tmp_path):
    first, second = pair(tmp_path)
    value = json.loads(run("inspect", first, second, "--json").stdout)
    common = value["intermediate"]
    rest = {"decoder_layers": None, "rotary": None}
    wide = {"layers": 2, "width": 24, "heads": 2, "kv_heads": 2, "head_size": 12, "ffn": 12}
    assert common["shape"] == wide | rest
    assert common["reason"] is None
    model = value["models"][str(first)]
    assert (model["family"], model["norm"], model["head"]) == ("bert", "post", "sequence-classification")
    assert model["shape"] == wide | {"width": 8, "head_size": 4} | rest
    assert {g["exactness"] for g in model["growth"]} == {
        "exact",
        "approximate",
        "exact up to the norms' epsilon",
    }


def test_json_without_a_common_shape_gives_the_reason(run, tmp_path):
    value = json.loads(run("inspect", *pair(tmp_path), "--max-width", 23, "--json").stdout)
    assert value["intermediate"]["shape"] is None
    assert "multiple of 24" in value["intermediate"]["reason"]


def test_json_of_one_model_has_no_common_shape(run, tmp_path):
    folder(tmp_path / "m", "vit")
    assert json.loads(run("inspect", tmp_path / "m", "--json").stdout)["intermediate"] is None


def test_a_shape_that_was_found_can_be_grown_to(run, tmp_path):
    models = [str(tokenizer(p)) for p in pair(tmp_path)]
    shape = json.loads(run("inspect", *models, "--json").stdout)["intermediate"]["shape"]
    people = [{"name": f"p{i}", "model": m} for i, m in enumerate(models)]
    plan = parsed(
        task="sequence-classification", family="bert", model_settings={}, participants=people,
        intermediate=shape, large=shape | {"layers": 3},
    )  # fmt: skip
    assert resolve(plan).intermediate.width == 24


def test_an_unknown_tensor_is_refused_by_name(run, tmp_path):
    folder(tmp_path / "m", "bert")
    edit_tensors(tmp_path / "m", lambda tensors: tensors | {"bert.encoder.gate.weight": torch.ones(2)})
    refused(run("inspect", tmp_path / "m"), "does not know tensor bert.encoder.gate.weight")


def test_one_faulty_model_among_several_prints_nothing_else(run, tmp_path):
    first, second = pair(tmp_path)
    edit_tensors(second, lambda tensors: tensors | {"bert.extra": torch.ones(2)})
    refused(run("inspect", first, second), "bert.extra", "m12")


def test_an_unknown_family_is_refused(run, tmp_path):
    folder(tmp_path / "m", "bert")
    edit_config(tmp_path / "m", model_type="mamba")
    refused(run("inspect", tmp_path / "m"), "'mamba' has no growth table; known families: bert, ")


def test_two_families_are_refused(run, tmp_path):
    for name in ("bert", "vit"):
        folder(tmp_path / name, name)
    refused(run("inspect", tmp_path / "bert", tmp_path / "vit"), "several families (bert, vit)")


def test_a_path_that_is_no_hub_id_is_a_folder_that_is_not_there(run, tmp_path):
    refused(run("inspect", tmp_path / "gone"), "there is no such folder")


@pytest.mark.parametrize("config", [None, "{", "{}", "[]"])
def test_a_folder_without_a_model_is_refused(run, tmp_path, config):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    refused(run("inspect", tmp_path), "no Hugging Face folder or reachable hub id")


def test_heads_that_do_not_divide_the_width_are_refused(run, tmp_path):
    folder(tmp_path / "m", "bert")
    edit_config(tmp_path / "m", num_attention_heads=3)
    refused(run("inspect", tmp_path / "m"), "not a multiple of the number of attention heads (3)")


def test_sizes_that_are_none_are_refused_by_their_setting(run, tmp_path):
    folder(tmp_path / "m", "bert")
    edit_config(tmp_path / "m", num_hidden_layers=0)
    refused(run("inspect", tmp_path / "m"), "num_hidden_layers=0", "a whole number from 1")


# real models


def real(*names: str) -> list[Path]:
    if missing := [name for name in names if not (MODELS / name).is_dir()]:
        pytest.skip(f"no real models {', '.join(missing)} in {MODELS}")
    return [MODELS / name for name in names]


@pytest.mark.shared
def test_real_berts_of_two_shapes_meet_at_768_with_12_heads(run):
    models = real("bert-tiny-l2-h128", "minilm-l3-h384")
    shape = json.loads(run("inspect", *models, "--json").stdout)["intermediate"]["shape"]
    assert (shape["width"], shape["heads"], shape["layers"], shape["ffn"]) == (768, 12, 3, 1536)


@pytest.mark.shared
def test_below_768_there_is_a_reason(run):
    outcome = run("inspect", *real("bert-tiny-l2-h128", "minilm-l3-h384"), "--max-width", 512)
    assert outcome.code == 0
    assert "no common intermediate shape up to width 512" in outcome.words
    assert "12 heads of 64 are needed, 768 together" in outcome.words
