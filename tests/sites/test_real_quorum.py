"""Real processes in quorum mode: one approves at a terminal, one has a full disk at first, one goes for good."""

import json
import os
import pty
import select
import sys
import threading

import pytest

from fedgrow.architectures import families
from fedgrow.disk.atomic import read_tensors
from fedgrow.learners.dual_ligo import global_start
from fedgrow.runs.folder import RunFolder
from fedgrow.sites.children import free_port
from tests.sites.making import write_all
from tests.sites.private import leaks
from tests.sites.processes import Processes, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """What everyone ended with, what ada was shown, and what bob said with a full disk."""
    if sys.platform != "linux":
        pytest.skip("file sizes are limited as Linux does")
    folder = tmp_path_factory.mktemp("quorum")
    port = free_port()
    faults = {"mode": "quorum", "deadline": 12, "patience": 300, "quorum": 0.6}
    write_all(folder, f"127.0.0.1:{port}", folder / "ca.crt", faults=faults)
    processes = Processes(folder)
    processes.prepare(port)
    terminal = Terminal()
    try:
        processes.start("server", "server", "--resume", "--out", "coordinator")
        processes.start("ada", "join", "ada.yaml", terminal=terminal.theirs)
        processes.start("bob", "join", "bob.yaml", "--yes", largest_file=4096)
        processes.start("cyd", "join", "cyd.yaml", "--yes")
        wait_for(lambda: "Take part?" in terminal.shown, processes)
        os.write(terminal.ours, b"y\n")
        wait_for((folder / "coordinator/rounds/0001").exists, processes)
        processes.kill("bob")
        full = (folder / "bob.log").read_text()
        processes.start("bob", "join", "bob.yaml", "--yes")
        wait_for((folder / "coordinator/rounds/0002").exists, processes)
        processes.kill("cyd")
        codes = {name: processes.wait(name) for name in ("server", "ada", "bob")}
        yield folder, codes, terminal, full
    finally:
        processes.end()
        terminal.close()


class Terminal:
    """A terminal, and all that was shown at it."""

    def __init__(self):
        self.ours, self.theirs = pty.openpty()
        self.shown, self.closed = "", False
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        while not self.closed:
            if select.select([self.ours], [], [], 0.2)[0]:
                self.shown += os.read(self.ours, 4096).decode(errors="replace")

    def close(self):
        self.closed = True
        self.reader.join()
        os.close(self.ours)
        os.close(self.theirs)


def test_two_of_three_end_well_without_the_third(federation):
    folder, codes, _, _ = federation
    assert codes == {"server": 0, "ada": 0, "bob": 0}
    left_out = [
        event
        for line in (folder / "coordinator/events.jsonl").read_text().splitlines()
        if (event := json.loads(line))["event"] == "left out"
    ]
    assert {event["participant"] for event in left_out} >= {2}
    assert all("no answer within 12 s" in event["reason"] for event in left_out)


def test_the_operator_was_trained(federation):
    folder = federation[0]
    begun = global_start(RunFolder(folder / "coordinator").plan, families()["vit"])
    ended = read_tensors(folder / "coordinator/operator/operator.safetensors")
    assert begun.keys() == ended.keys()
    assert any(not begun[name].equal(ended[name]) for name in begun)


def test_a_site_is_shown_the_plan_and_asked_once(federation):
    folder, _, terminal, _ = federation
    text = " ".join(terminal.shown.split())
    for words in ("plan 'tiny'", "3 rounds of 2 steps", "leaves this site in every round", "quorum rounds"):
        assert words in text
    assert "asked: evaluate.grow, round 3" in text  # it was shown all there was
    assert text.count("Take part?") == 1
    assert list((folder / "site-ada").glob("experiments/*/participants/ada/model/model.safetensors"))


def test_a_site_whose_disk_is_full_says_so_and_takes_part_once_there_is_room(federation):
    folder, _, _, full = federation
    assert "Traceback" not in full
    assert "not answered" in full
    assert "File too large" in full
    own = next((folder / "site-bob").glob("experiments/*/participants/bob"))
    assert (own / "model" / "model.safetensors").is_file()
    assert (own / "private" / "state").is_dir()


def test_nothing_private_came_to_the_coordinator(federation):
    found, looked_for = leaks(federation[0], federation[0] / "coordinator")
    assert not found
    assert looked_for > 30
