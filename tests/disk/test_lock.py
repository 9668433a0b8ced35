"""One process at a time in a folder, and none once it has ended, however that was."""

import errno
import importlib
import os
import subprocess
import sys

import pytest

from fedgrow.disk import lock
from fedgrow.disk.lock import Lock, held
from fedgrow.errors import FedgrowError
from fedgrow.federated.simulate import simulate
from fedgrow.runs.folder import RunFolder
from tests.federation import run_tiny


def test_a_second_is_refused_and_told_who_is_at_work(tmp_path):
    assert held(tmp_path) is False
    with Lock(tmp_path):
        assert held(tmp_path)
        with pytest.raises(FedgrowError, match=rf"{tmp_path}: process {os.getpid()} on .* is at work in it"):
            Lock(tmp_path)
    assert held(tmp_path) is False
    Lock(tmp_path).release()


def test_a_killed_process_lets_go_whatever_it_began(tmp_path):
    code = (
        "import subprocess, sys; from pathlib import Path; from fedgrow.disk.lock import Lock\n"
        f"one = Lock(Path({str(tmp_path)!r}))\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        child = int(process.stdout.readline())
        try:
            with pytest.raises(FedgrowError, match=f"process {process.pid} on "):
                Lock(tmp_path)
            process.kill()
            process.wait()
            Lock(tmp_path).release()
        finally:
            os.kill(child, 9)


def test_a_run_is_not_gone_on_with_twice_at_a_time(tmp_path):
    run_tiny(tmp_path / "run", schedule={"kind": "joint", "rounds": 1, "steps": 1})
    run = RunFolder(tmp_path / "run")
    (run.path / "summary.json").unlink()
    run.note(state="interrupted")
    with Lock(run.path), pytest.raises(FedgrowError, match="is at work in it"):
        simulate(None, run.path, resume=True)
    assert run.state["state"] == "interrupted"
    simulate(None, run.path, resume=True)


def test_where_locks_cannot_be_taken_there_are_none(tmp_path, monkeypatch):
    def without(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", without)
    with Lock(tmp_path), Lock(tmp_path):
        assert held(tmp_path) is None


def test_where_the_system_has_none_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    bare = importlib.reload(lock)
    try:
        with bare.Lock(tmp_path), bare.Lock(tmp_path):
            assert bare.held(tmp_path) is None
    finally:
        monkeypatch.undo()
        importlib.reload(lock)
