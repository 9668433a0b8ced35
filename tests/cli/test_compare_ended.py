"""A study that is ended from outside leaves no process, and goes on with the same command."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.running import SCRIPT
from tests.comparison.studies import study


def wait_for(what: str, condition, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"no {what} within {seconds} s"
        time.sleep(0.05)


def is_over(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def begun(folder: Path) -> "subprocess.Popen[str]":
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        return subprocess.Popen(
            [SCRIPT, "compare", str(folder / "study.yaml"), "--out", str(folder / "out"), "--jobs", "1"],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "killed"])
def test_nothing_runs_on(tmp_path, how):
    study(tmp_path, set={"schedule.rounds": 500}, methods={"together": {}})
    process = begun(tmp_path)
    try:
        wait_for("round", lambda: list(tmp_path.glob("out/experiments/*/*/rounds/*")))
        if how == "Ctrl-C":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        elif how == "SIGTERM":
            process.terminate()  # as a scheduler does
        else:
            process.kill()
        _, err = process.communicate(timeout=60)
        wait_for("end of its processes", lambda: is_over(process.pid), 60)
    finally:
        if not is_over(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    if how != "killed":
        assert process.returncode == 130
        assert "the same command goes on" in err
    if how == "SIGTERM":
        assert "leaked" not in err
    assert not list(tmp_path.glob("out/experiments/*/*/done.json"))
