import json

from tests.cli.running import refused
from tests.comparison.studies import METHODS, study


def test_compare_from_the_command_line(tmp_path, run):
    study(tmp_path, methods={name: METHODS[name] for name in ("together", "small")})
    options = ["compare", tmp_path / "study.yaml", "--out", tmp_path / "out"]
    planned = run(*options, "--dry-run")
    assert planned.code == 0
    assert "2 experiments, 0 done; 1 settings to ready" in planned.stdout
    assert not (tmp_path / "out").exists()
    ran = run(*options, "--json", "--jobs", 2)
    assert ran.code == 0, ran.stderr
    assert [line["method"] for line in json.loads(ran.stdout)] == ["together", "small"]
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
