import json
from pathlib import Path

from fedgrow.comparison.experiments import experiments, settings
from fedgrow.config.load import load_study, plan_paths
from tests.cli.running import plan_file, refused
from tests.comparison.studies import METHODS, study
from tests.e2e.test_shipped_plans import tiny_bert


def test_compare_from_the_command_line(tmp_path, run):
    study(tmp_path, methods={name: METHODS[name] for name in ("together", "small")})
    options = ["compare", tmp_path / "study.yaml", "--out", tmp_path / "out"]
    planned = run(*options, "--dry-run")
    assert planned.code == 0
    assert "2 experiments, 0 done; 1 settings to prepare" in planned.stdout
    assert not (tmp_path / "out").exists()
    ran = run(*options, "--json", "--jobs", 2)
    assert ran.code == 0, ran.stderr
    lines = json.loads(ran.stdout)
    assert [line["method"] for line in lines] == ["together", "small"]
    assert lines[0]["plan"]["schedule"]["rounds"] == len(lines[0]["curve"]) == lines[0]["rounds"]
    for name in ("results.parquet", "report.md", "report.html", "study.yaml"):
        assert (tmp_path / "out" / name).is_file()
    again = run(*options, "--report")
    assert again.code == 0
    assert "together" in again.words


def test_a_wrong_study_is_a_clear_error(tmp_path, run):
    study(tmp_path)
    file, out = tmp_path / "study.yaml", tmp_path / "out"
    refused(
        run("compare", file, "--set", "methods.odd.approach=luck", "--out", out),
        "methods.odd.approach: 'luck' is unknown",
    )
    refused(
        run("compare", file, "--set", "methods.odd.set={seed: 3}", "--out", out),
        "methods.odd: seed is the same for all",
    )
    assert not out.exists()


def test_a_missing_study_names_the_shipped_ones(run):
    refused(run("compare", "nothing.yaml"), "no such file", "shipped study (digits")


def test_another_folder_is_left_alone(tmp_path, run):
    study(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.md").write_text("mine")
    for way in ([], ["--dry-run"], ["--report"]):
        refused(run("compare", tmp_path / "study.yaml", "--out", other, *way), "no study's folder")
    assert [p.name for p in other.iterdir()] == ["report.md"]
    refused(
        run("compare", tmp_path / "study.yaml", "--out", tmp_path / "new", "--report"), "there is no study in"
    )
    assert not (tmp_path / "new").exists()


def test_a_plan_is_named_as_one(tmp_path, run):
    refused(run("compare", plan_file(tmp_path)), "it is a plan", "fedgrow simulate")


def test_a_dry_run_looks_at_the_data(tmp_path, run):
    for changes, said in (
        ({"data.source": "nothere.npz"}, "nothere.npz"),
        ({"partition": {"kind": "column", "column": "klinik"}}, "klinik"),
    ):
        study(tmp_path, set=changes)
        refused(run("compare", tmp_path / "study.yaml", "--out", tmp_path / "new", "--dry-run"), said)


def test_a_path_that_no_plan_uses_is_refused(tmp_path, run):
    study(tmp_path)
    refused(
        run("compare", tmp_path / "study.yaml", "--path", "dta=x", "--dry-run"),
        "paths.dta: the study uses no such path; it uses none",
    )


def test_the_study_of_the_documentation(tmp_path):
    """As it stands there, on tiny models and texts."""
    text = Path("docs/compare.md").read_text("utf-8").partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "study.yaml").write_text(text)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    tiny_bert(tmp_path / "bert", **shape)
    (tmp_path / "glosses.parquet").write_bytes(b"")
    names = plan_paths("text-bert") - {"data"}
    made = load_study(tmp_path / "study.yaml", [f"paths.{name}={tmp_path / 'bert'}" for name in names])
    found = [e.name for s in settings(made) for e in experiments(made, s)]
    assert len(found) == 4 * 2 * 2 * 5
