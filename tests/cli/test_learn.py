"""``fedgrow learn``: an operator trained on local data, and the folder that it leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

import fedgrow
from fedgrow.errors import FedgrowError
from fedgrow.growth import OPERATORS
from fedgrow.single import learn as learning
from tests.architectures.folders import edit_tensors, folder
from tests.cli.running import refused
from tests.tasks.making import tokenizer

TEXTS = ["one two three four", "four three two one", "two two one", "three four four one"] * 8
QUICK = ("--steps", 2, "--batch-size", 4, "--max-length", 6)
TO = "layers=3,width=16"


def make(path: Path, name: str, **overrides: Any) -> Path:
    """Make a tiny model with a tokenizer of nine words."""
    _, place = folder(path / name, name, vocab_size=9, **overrides)
    return tokenizer(place, mask=True)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    file = tmp_path / "texts.jsonl"
    rows = [json.dumps({"text": text, "kind": "even" if i % 2 else "odd"}) for i, text in enumerate(TEXTS)]
    file.write_text("\n".join(rows))
    return file


def test_the_folder_loads_with_plain_transformers(run, tmp_path, texts):
    small = make(tmp_path, "bert-mlm")
    outcome = run("learn", small, "--data", texts, "--to", TO, "--out", tmp_path / "out", *QUICK)
    assert outcome.code == 0, outcome.stderr
    assert "operator trained" in outcome.words
    config = AutoModel.from_pretrained(tmp_path / "out").config
    assert (config.num_hidden_layers, config.hidden_size) == (3, 16)
    _, info = AutoModelForMaskedLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("one two")["input_ids"] == [2, 4, 5, 3]


def test_the_card_and_the_record_say_what_was_done(run, tmp_path, texts):
    small = make(tmp_path, "gpt2")
    outcome = run(
        *("learn", small, "--data", texts, "--to", TO, "--out", tmp_path / "out", "--json", *QUICK),
        *("--operator", "tied", "--finetune-steps", 3),
    )
    assert outcome.code == 0, outcome.stderr
    record = json.loads(outcome.stdout)
    assert record == json.loads((tmp_path / "out" / "learned.json").read_text())
    assert record["task"] == "causal-language-modelling"
    assert record["steps"] == {"operator": 2, "finetune": 3}
    metrics = record["metrics"]
    assert set(metrics) == {"small", "start", "operator", "finetuned"}
    assert metrics["start"] == pytest.approx(metrics["small"], rel=1e-4)
    assert record["parity"] == json.loads((tmp_path / "out" / "parity.json").read_text())
    assert record["parity"]["max_abs"] < 1e-6  # the operator is float32
    _, front, card = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "transformers"
    for words in ("LiGO (tied)", "trained for 2 steps", "all weights for 3 steps", "texts.jsonl", "Parity"):
        assert words in card
    assert str(tmp_path) not in card + outcome.stdout  # the folder may be shared


def test_the_saved_model_is_the_measured_one(run, tmp_path, texts):
    small = make(tmp_path, "gpt2")
    run("learn", small, "--data", texts, "--to", TO, "--out", tmp_path / "out", *QUICK)
    before, after = (AutoModelForCausalLM.from_pretrained(f) for f in (small, tmp_path / "out"))
    ids = torch.tensor([[4, 5, 6, 7]])
    assert not torch.allclose(before(ids).logits, after(ids).logits)


def test_training_helps(tmp_path, texts):
    record = fedgrow.learn(
        make(tmp_path, "gpt2"),
        data=texts,
        to={"layers": 3},
        out=tmp_path / "out",
        steps=30,
        batch_size=8,
        max_length=6,
        learning_rate=0.03,
    )
    assert record["metrics"]["operator"]["loss"] < record["metrics"]["start"]["loss"]


@pytest.mark.parametrize("kind", [kind for kind in OPERATORS if kind not in ("fixed", "drawn")])
def test_every_operator_that_learns(tmp_path, texts, kind):
    record = fedgrow.learn(
        make(tmp_path, "gpt2"), data=texts, to=TO, out=tmp_path / "out", operator=kind, steps=1, max_length=6
    )
    assert record["operator"]["kind"] == kind
    assert record["parity"]["max_abs"] < 1e-6  # the operator is float32


def test_a_body_gets_a_head_for_the_task(run, tmp_path, texts):
    small = make(tmp_path, "bert-body")
    options = ("--data", texts, "--to", TO, "--out", tmp_path / "out", *QUICK)
    refused(run("learn", small, *options), "no task for its head (none)", "sequence-classification")
    outcome = run("learn", small, *options, "--task", "sequence-classification", "--label", "kind")
    assert outcome.code == 0, outcome.stderr
    config = AutoModel.from_pretrained(tmp_path / "out").config
    assert config.label2id == {"even": 0, "odd": 1}
    card = (tmp_path / "out" / "README.md").read_text()
    for said in (card, outcome.stdout):  # its figures before training are a guess, and that is said
        assert "Made anew, at random: classifier" in said
        assert "the small model knows nothing of the task yet" in said
        assert "held-out ones" in said


@pytest.mark.parametrize("size", [8, [8, 12]])
def test_images(run, tmp_path, size):
    _, small = folder(tmp_path / "vit", "vit-body", image_size=size)
    options = ("--data", "bundled:digits", "--limit", 80, "--to", "layers=3", "--out", tmp_path / "out")
    outcome = run("learn", small, *options, *QUICK, "--task", "image-classification")
    assert outcome.code == 0, outcome.stderr
    assert "accuracy" in outcome.words
    assert (tmp_path / "out" / "preprocessor_config.json").is_file()


def test_the_same_seed_gives_the_same_weights(tmp_path, texts):
    small = make(tmp_path, "gpt2")
    for name in ("a", "b", "c"):
        seed = int(name == "c")
        fedgrow.learn(
            small, data=texts, to=TO, out=tmp_path / name, steps=2, batch_size=4, max_length=6, seed=seed
        )
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b", "c"))
    assert a == b != c


def test_progress_is_told(tmp_path, texts):
    told = []
    fedgrow.learn(
        make(tmp_path, "gpt2"),
        data=texts,
        to=TO,
        out=tmp_path / "out",
        steps=2,
        finetune_steps=1,
        max_length=6,
        progress=lambda part, step, total, loss: told.append((part, step, total)),
    )
    assert told == [("operator", 1, 2), ("operator", 2, 2), ("fine-tuning", 1, 1)]


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (["--to", "width=9"], ["width", "head size"]),
        (["--to", "layers=1"], ["cannot grow layers from 2 to 1"]),
        (["--to", "depth=3"], ["depth"]),
        (["--operator", "huge"], ["huge", "low-rank"]),
        (["--operator", "fixed"], ["fixed learns nothing"]),
        (["--operator", "tied", "--rank", "2"], ["tied has no rank"]),
        (["--start", "warm"], ["'warm'", "exact"]),
        (["--task", "image-classification"], ["gpt2 has no such head"]),
        (["--task", "poetry"], ["poetry", "masked-language-modelling"]),
        (["--out", "/dev/null/x"], ["--out /dev/null/x: /dev/null is a file"]),
        (["--data", "nowhere.csv"], ["--data nowhere.csv", "no such file"]),
        (["--text", "body"], ["--text: there is no column 'body'"]),
        (["--max-length", "900"], ["fewer than one block"]),
        (["--batch-size", "0"], ["--batch-size", "greater than 0"]),
        (["--steps", "-1"], ["steps: -1"]),
        (["--test-fraction", "1.5"], ["--test-fraction", "less than 1"]),
        (["--tokenizer", "nowhere"], ["no tokenizer at 'nowhere'", "--tokenizer"]),
        (["--learning-rate", "1e20"], ["operator: the", "lower the learning rates"]),
    ],
)
def test_errors_name_the_option_and_leave_nothing(run, tmp_path, texts, options, fragments):
    small = make(tmp_path, "gpt2", n_positions=1000)
    given = {"--data": texts, "--to": TO, "--out": tmp_path / "out", "--steps": 3, "--max-length": 6}
    given |= dict(zip(options[::2], options[1::2], strict=True))
    before = sorted(tmp_path.iterdir())
    refused(run("learn", small, *(v for pair in given.items() for v in pair)), *fragments)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, texts):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(FedgrowError, match="not empty"):
        fedgrow.learn(make(tmp_path, "gpt2"), data=texts, to=TO, out=tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "precious"


@pytest.mark.parametrize("when", ["fit", "learned_card"])
def test_an_interruption_leaves_nothing(run, tmp_path, texts, monkeypatch, when):
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    small = make(tmp_path, "gpt2")
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(learning, when, interrupted)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    outcome = run("learn", small, "--data", texts, "--to", TO, "--out", tmp_path / "out", *QUICK)
    assert outcome.code == 130
    assert "nothing was written" in outcome.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_of_values_that_are_not_finite_is_refused_by_tensor(run, tmp_path, texts):
    small = make(tmp_path, "gpt2")
    edit_tensors(
        small, lambda tensors: tensors | {"transformer.wpe.weight": tensors["transformer.wpe.weight"] / 0}
    )
    outcome = run("learn", small, "--data", texts, "--to", TO, "--out", tmp_path / "out", *QUICK)
    refused(outcome, f"model '{small}': tensor transformer.wpe.weight holds values that are not finite")
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_problem_learns_one_class_each(run, tmp_path, texts):
    """Its configuration would make pipelines and losses of the grown one take every class by itself."""
    small = make(tmp_path, "bert", num_labels=2, problem_type="multi_label_classification")
    options = ("--label", "kind", "--task", "sequence-classification")
    outcome = run("learn", small, "--data", texts, "--to", TO, "--out", tmp_path / "out", *options, *QUICK)
    assert outcome.code == 0, outcome.stderr
    assert AutoConfig.from_pretrained(small).problem_type == "multi_label_classification"
    assert AutoConfig.from_pretrained(tmp_path / "out").problem_type is None
