"""``fedgrow server``: what it is begun with, and gone on with."""

import pytest
from rich.console import Console

from fedgrow.cli.progress import step_bars
from fedgrow.cli.run import Bars
from fedgrow.sites.coordinator import Coordinator
from tests.cli.running import refused
from tests.sites.making import write_all


@pytest.fixture
def folder(tmp_path):
    write_all(tmp_path, "127.0.0.1:9", tmp_path / "ca.crt")
    return tmp_path


IGNORED = {
    "PLAN": ["plan.yaml"],
    "--set": ["--set", "seed=1"],
    "--port": ["--port", "9092"],  # what it would be anyway
    "--host": ["--host", "0.0.0.0"],
    "--name": ["--name", "me.example.org"],
    "--prepare": ["--prepare"],
    "--certificates": ["--certificates", "."],
}


def test_going_on_takes_nothing_that_would_be_ignored(folder, run):
    out = folder / "out"
    made = run("server", folder / "plan.yaml", "--out", out, "--port", "9", "--prepare")
    assert made.code == 0, made.stderr
    for name, given in IGNORED.items():
        refused(run("server", "--resume", "--out", out, *given), f"as it was begun: leave {name} out")
    everything = [word for given in IGNORED.values() for word in given]
    refused(run("server", "--resume", "--out", out, *everything), f"leave {', '.join(sorted(IGNORED))} out")
    refused(run("server", "--resume"), "say which federation with --out")


def test_a_plan_that_no_site_approved_is_not_gone_on_with(folder, run, monkeypatch):
    monkeypatch.setattr(Coordinator, "carry_out", lambda self: pytest.fail("it was gone on with"))
    out = folder / "out"
    assert run("server", folder / "plan.yaml", "--out", out, "--port", "9", "--prepare").code == 0
    plan = (out / "plan.yaml").read_text()
    (out / "plan.yaml").write_text(plan.replace("name: FedAvg", "name: FedMedian"))
    refused(
        run("server", "--resume", "--out", out), "plan.yaml was changed since the run began; bring it back"
    )
    refused(
        run("simulate", "--resume", "--out", out), "of a federation between sites", "fedgrow server --resume"
    )
    assert "local" not in (out / "run.json").read_text()


def test_a_key_that_is_neither_a_file_nor_a_key_is_refused(folder, run):
    run("server", str(folder / "plan.yaml"), "--out", str(folder / "out"), "--prepare")
    outcome = run("invite", "ada", "--key", "mistyped.pub", "--out", str(folder / "out"))
    assert outcome.code == 1
    assert "--key mistyped.pub: there is no such file" in " ".join(outcome.stderr.split())


def test_a_status_cuts_nothing_in_a_narrow_terminal(folder, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    run("server", str(folder / "plan.yaml"), "--out", str(folder / "out"), "--prepare")
    shown = run("status", "--out", str(folder / "out")).stdout
    assert "left out" in shown
    assert "last seen" in shown
    assert "…" not in shown


@pytest.mark.parametrize("event", ["reply", "answered"], ids=["in a simulation", "at a coordinator"])
def test_the_bar_of_participants_moves(event):
    progress = step_bars(Console(), as_json=False)
    bars = Bars(progress, None)
    bars({"event": "asked", "step": "train", "participants": 3})
    bars({"event": event, "participant": 0})
    assert progress.tasks[bars.people].completed == 1
