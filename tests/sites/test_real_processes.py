"""Coordinator and sites as real processes on loopback, over TLS: killed in the middle, and the same operator after all."""

import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from fedgrow.config.load import load_plan
from fedgrow.federated.simulate import simulate
from fedgrow.sites.audit import audited
from fedgrow.sites.children import free_port
from tests.sites.making import SHAPES, write_all
from tests.sites.private import leaks
from tests.sites.processes import Processes, children_of, status, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def federation(tmp_path_factory):
    """A whole federation in which the SuperLink, a site with its SuperNode, and the coordinator are killed on the way.

    The site loses its key, too, and is invited with another one.
    """
    if sys.platform != "linux":
        pytest.skip("children are found in /proc")
    folder = tmp_path_factory.mktemp("federation")
    port = free_port()
    write_all(folder, f"127.0.0.1:{port}", folder / "ca.crt", compression={"kind": "int8"})
    processes = Processes(folder)
    processes.prepare(port)
    serve = ("server", "--resume", "--out", "coordinator")
    try:
        processes.start("server", *serve)
        for name in SHAPES:
            processes.start(name, "join", f"{name}.yaml", "--yes")
        rounds, events = (folder / "coordinator" / name for name in ("rounds", "events.jsonl"))
        wait_for((rounds / "0001").exists, processes)
        processes.kill("bob")  # its SuperNode has to end with it
        (folder / "site-bob" / "private" / "key").unlink()
        processes.invite("bob", "--replace")
        processes.start("bob", "join", "bob.yaml", "--yes")
        wait_for(lambda: "the key of bob was replaced" in events.read_text(), processes)
        for child in children_of(processes.all["server"]):
            os.kill(child, signal.SIGKILL)  # the SuperLink
        wait_for((rounds / "0002").exists, processes)
        processes.kill("server")
        processes.start("server", *serve)
        codes = {name: processes.wait(name) for name in ["server", *SHAPES]}
        yield folder, processes, codes, port
    finally:
        processes.end()


def test_everyone_ends_well(federation):
    folder, _, codes, _ = federation
    assert codes == dict.fromkeys(["server", *SHAPES], 0)
    assert (folder / "coordinator" / "report.md").is_file()
    for name in SHAPES:
        assert list(
            (folder / f"site-{name}").glob(f"experiments/*/participants/{name}/model/model.safetensors")
        )


def test_the_operator_is_the_simulations_to_the_bit(federation):
    folder = federation[0]
    simulate(load_plan(folder / "simulation.yaml"), folder / "simulated")
    files = [folder / run / "operator" / "operator.safetensors" for run in ("coordinator", "simulated")]
    assert files[0].read_bytes() == files[1].read_bytes()
    for name in SHAPES:
        model = f"participants/{name}/model/model.safetensors"
        at_site = next((folder / f"site-{name}").glob(f"experiments/*/{model}"))
        assert at_site.read_bytes() == (folder / "simulated" / model).read_bytes()


def test_nothing_private_is_in_anything_the_coordinator_has(federation):
    found, looked_for = leaks(federation[0], federation[0] / "coordinator")
    assert not found
    assert looked_for > 50


def test_every_ledger_is_whole_and_says_what_the_plan_lists(federation):
    folder = federation[0]
    for name in SHAPES:
        found = audited(next((folder / f"site-{name}").glob("experiments/*/ledger.jsonl")))
        assert found["rounds"] == 3
        assert set(found["metrics"]) == {
            "participant", "num-examples", "loss", "accuracy", "macro_precision", "macro_f1",
        }  # fmt: skip
        assert found["messages"]["train.grow"] >= 3
        assert found["errors"] == 0


def test_status_tells_the_end(federation):
    found = status(federation[1])
    assert (found["state"], found["round"], found["rounds"]) == ("finished", 3, 3)
    assert all(site["invited"] and site["answered"] for site in found["sites"].values())


def test_nothing_is_left_behind(federation):
    folder, _, _, port = federation
    with socket.socket() as one:
        assert one.connect_ex(("127.0.0.1", port)) != 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert str(folder) not in path.read_text(), f"{path} is still there"
