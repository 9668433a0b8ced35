"""A disk that takes no file beyond a size: a clear text, nothing half-written, and the same command goes on with room."""

import contextlib
import json
import resource
import signal

import pytest

from fedgrow.disk.events import emit
from tests.cli.running import plan_file
from tests.folders.making import CAUSAL, saved


@contextlib.contextmanager
def largest_file(size: int):
    """Let no file of this process become larger; Python ignores the signal that goes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("size", [100, 600, 2500, 6000, 20_000])
def test_a_run_ends_with_a_text_and_goes_on_later(run, tmp_path, size):
    plan, out = plan_file(tmp_path), tmp_path / "run"
    with largest_file(size):
        full = run("simulate", plan, "--out", out)
    assert full.code == 1
    assert "error: " in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(tmp_path.rglob("*.part"))
    begun = (out / "run.json").exists()
    again = run("simulate", *(["--resume", "--out", out] if begun else [plan, "--out", out]), "--json")
    assert again.code == 0, again.stderr
    assert json.loads(again.stdout)["rounds"] == 1


def test_a_grown_model_is_whole_or_not_there(run, tmp_path):
    target = [
        "grow",
        saved(tmp_path / "small", "llama", CAUSAL),
        "--to",
        "layers=4",
        "--out",
        tmp_path / "large",
    ]
    with largest_file(3000):
        full = run(*target)
    assert full.code == 1
    assert "Traceback" not in full.stderr
    assert not (tmp_path / "large").exists()
    assert not list(tmp_path.rglob("*.part"))
    assert run(*target).code == 0


def test_an_event_is_whole_or_not_there(tmp_path):
    emit(tmp_path, "one")
    with (
        largest_file(len((tmp_path / "events.jsonl").read_bytes()) + 20),
        pytest.raises(OSError, match=r"No space left|too large"),
    ):
        emit(tmp_path, "two")
    emit(tmp_path, "three")
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["one", "three"]
