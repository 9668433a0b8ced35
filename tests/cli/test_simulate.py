"""``fedgrow simulate``: a whole run, and what is refused before or during one."""

import json

import pytest
import torch

from fedgrow.tasks.classification import label_config
from tests import tiny
from tests.architectures.folders import SHAPE, edit_tensors, folder
from tests.cli.running import plan_file, refused


def test_a_run_prints_its_results_and_where_they_are(run, tmp_path):
    out = tmp_path / "run"
    outcome = run("simulate", plan_file(tmp_path), "--out", out, "--baselines", "small")
    assert outcome.code == 0
    for words in (
        "grown together (Fed-Grow)",
        "the small model fine-tuned locally",
        "ada",
        f"report: {out}/report.md",
    ):
        assert words in outcome.words
    summary = json.loads((out / "summary.json").read_text())
    assert (list(summary["baselines"]), summary["rounds"]) == (["small"], 1)


def test_json_is_the_summary(run, tmp_path):
    plan, out = plan_file(tmp_path), tmp_path / "run"
    outcome = run("simulate", plan, "--out", out, "--set", "seed=3", "--set", "name=mine", "--json")
    assert json.loads(outcome.stdout) == json.loads((out / "summary.json").read_text())
    assert (json.loads(outcome.stdout)["seed"], json.loads(outcome.stdout)["name"]) == (3, "mine")


def test_by_default_it_goes_into_runs_under_its_name_and_time(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("simulate", plan_file(tmp_path), "--json").code == 0
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("tiny-")


def test_a_dry_run_says_what_would_be_run_and_writes_nothing(run, tmp_path):
    plan, before = plan_file(tmp_path), sorted(tmp_path.iterdir())
    asked = ("simulate", plan, "--out", tmp_path / "run", "--baselines", "small", "--dry-run")
    said, told = run(*asked), json.loads(run(*asked, "--json").stdout)
    assert sorted(tmp_path.iterdir()) == before
    run("simulate", plan, "--out", tmp_path / "run", "--baselines", "small")
    did = json.loads((tmp_path / "run" / "summary.json").read_text())
    shards = json.loads((tmp_path / "run" / "partition.json").read_text())["shards"]
    assert {name: one["examples"] for name, one in told["participants"].items()} == {
        name: len(rows) for name, rows in shards.items()
    }
    assert told["sent"]["parameters"] == did["parameters"]["global_operator"]
    assert told["sent"]["arrays"] == len(did["exchange"]["arrays"])
    assert (told["rounds"], told["baselines"]) == (1, ["small"])
    for words in ("ada", told["large"], told["intermediate"], f"{told['sent']['bytes']:,} bytes"):
        assert words in said.words


@pytest.mark.parametrize(
    "settings", [["data.label=species"], ["large.width=8"], ["partition.min_examples=500"]]
)
def test_a_dry_run_refuses_what_a_run_would(run, tmp_path, settings):
    changes = [part for setting in settings for part in ("--set", setting)]
    for way in ([], ["--dry-run"]):
        refused(run("simulate", plan_file(tmp_path), "--out", tmp_path / "run", *changes, *way))
    refused(run("simulate", "--resume", "--out", tmp_path / "run", "--dry-run"), "leave --resume out")


def test_a_study_is_named_as_one(run, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("plan: digits\nmethods: {together: {}}")
    refused(run("simulate", study), "it is a study", "fedgrow compare")


# refused before the run starts: there is no folder

BEFORE = {
    "wrong column": (["--set", "data.label=species"], ["data.label", "'species'", "'image', 'label'"]),
    "unknown source": (["--set", "data.source=bundled:letters"], ["bundled:letters", "bundled:digits"]),
    "missing data": (["--set", "data.source=gone.parquet"], ["gone.parquet", "no such file"]),
    "label outside the closed list": (["--set", "data.labels=[0, 1]"], ["data.labels"]),
    "shard too small": (
        ["--set", "partition.min_examples=500"],
        ["ada", "120", "partition.min_examples 500"],
    ),
    "unknown setting": (["--set", "training.speed=3"], ["training.speed: no such setting"]),
    "setting without value": (["--set", "seed"], ["--set 'seed'", "key=value"]),
    "unknown operator": (["--set", "operator.kind=magic"], ["operator.kind", "'magic'"]),
    "shape too small": (["--set", "large.width=8"], ["width", "from 16 to 8"]),
    "unknown baseline": (["--baselines", "small,luck"], ["baselines", "'luck'", "fedavg"]),
    "unfit baseline": (["--baselines", "tfidf"], ["tfidf", "image-classification"]),
    "unknown engine": (["--engine", "steam"], ["engine 'steam'", "local, ray"]),
    "no such device": (["--set", "training.device=mps"], ["training.device: there is no mps here"]),
    "an operator and another one": (
        ["--operator", "members/operator", "--set", "operator.rank=2"],
        ["--set operator.rank=2", "--operator takes a trained operator as it is"],
    ),
}


@pytest.mark.parametrize("case", BEFORE)
def test_it_is_refused_before_there_is_a_folder(run, tmp_path, case):
    options, fragments = BEFORE[case]
    outcome = run("simulate", plan_file(tmp_path), "--out", tmp_path / "deep" / "run", *options)
    refused(outcome, *fragments)
    assert [f.name for f in tmp_path.iterdir()] == ["plan.yaml"]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("name: [", "not valid YAML at line"),
        ("just words", "holds a str"),
        ("", "holds nothing, expected settings"),
        ("name: x", "task: Field required"),
    ],
)
def test_a_bad_plan_file_is_refused(run, tmp_path, text, fragment):
    (tmp_path / "plan.yaml").write_text(text)
    refused(run("simulate", tmp_path / "plan.yaml", "--out", tmp_path / "run"), "plan.yaml", fragment)
    assert not (tmp_path / "run").exists()


def test_a_missing_plan_file_is_refused(run, tmp_path):
    refused(
        run("simulate", tmp_path / "gone.yaml", "--out", tmp_path / "run"),
        "gone.yaml",
        "digits, gpt2, published",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_empty_is_refused_and_left_alone(run, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    refused(run("simulate", plan_file(tmp_path), "--out", out), f"--out {out}", "not empty", "--resume")
    assert [(f.name, f.read_text()) for f in out.iterdir()] == [("thesis.txt", "mine")]


def test_without_plan_or_run_it_says_what_it_needs(run):
    refused(run("simulate"), "name a plan", "--resume with --out")


def test_resume_needs_a_folder(run, tmp_path):
    refused(run("simulate", plan_file(tmp_path), "--resume"), "--resume: say which run with --out")


def test_resume_needs_a_run(run, tmp_path):
    refused(run("simulate", "--resume", "--out", tmp_path), "holds no run")


def test_resume_takes_no_changes(run, tmp_path):
    refused(
        run("simulate", "--resume", "--out", tmp_path, "--set", "seed=1"),
        "leave --set, --baselines and --operator out",
    )


# found out during the run: the folder says so


def broken(folder_) -> None:
    assert not (folder_ / "summary.json").exists()
    assert not (folder_ / "report.md").exists()
    assert not (folder_ / "participants" / "ada" / "model").exists()
    assert json.loads((folder_ / "run.json").read_text())["state"] == "failed"


def test_a_label_that_the_model_does_not_have(run, tmp_path):
    folder(tmp_path / "m", "vit", **label_config(["cat", "dog", "cow"]))
    people = [{"name": "ada", "model": str(tmp_path / "m")}]
    plan = plan_file(tmp_path, participants=people, model_settings={})
    outcome = run("simulate", plan, "--out", tmp_path / "run")
    refused(
        outcome,
        "participant ada",
        "label '",
        "not among the model's labels ['cat', 'dog', 'cow']",
        str(tmp_path / "run"),
    )
    broken(tmp_path / "run")


def test_a_model_folder_with_an_unknown_tensor(run, tmp_path):
    folder(tmp_path / "m", "vit", num_labels=10)
    edit_tensors(tmp_path / "m", lambda tensors: tensors | {"vit.gate.weight": torch.ones(2)})
    people = [{"name": "ada", "model": str(tmp_path / "m")}]
    plan = plan_file(tmp_path, participants=people, model_settings={})
    refused(run("simulate", plan, "--out", tmp_path / "run"), "participant ada: model ", "vit.gate.weight")
    broken(tmp_path / "run")


def test_a_folder_that_failed_is_not_taken_for_a_new_run(run, tmp_path):
    out = tmp_path / "run"
    rates = {"learning_rate": 1e30, "steps": 3}
    plan = plan_file(tmp_path, prepare=rates, training={"batch_size": 8, "warmup": 0})
    refused(run("simulate", plan, "--out", out), "participant ada", "step", "not_finite")
    broken(out)
    refused(run("simulate", plan, "--out", out), "not empty")


def test_tiny_models_are_what_these_tests_think():
    assert tiny.config("vit", SHAPE).image_size == 8  # as large as the digits
