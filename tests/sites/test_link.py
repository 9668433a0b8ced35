"""A coordinator whose SuperLink cannot begin, or takes its time."""

import socket
import stat
from types import SimpleNamespace

import pytest
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError

from fedgrow.config.load import load_plan
from fedgrow.errors import FedgrowError
from fedgrow.sites import coordinator
from fedgrow.sites.children import free_port
from fedgrow.sites.coordination import Coordination
from fedgrow.sites.coordinator import Coordinator
from fedgrow.sites.grid import LinkLost, SiteGrid
from tests.sites.making import write_all


@pytest.fixture
def one(tmp_path, monkeypatch):
    monkeypatch.setattr(coordinator, "FREE_WITHIN", 0.3)
    monkeypatch.setattr(coordinator, "UP_WITHIN", 0.5)
    write_all(tmp_path, "127.0.0.1:9", tmp_path / "ca.crt")
    plan = load_plan(tmp_path / "plan.yaml")
    return Coordinator(Coordination.create(tmp_path / "out", plan, "127.0.0.1", free_port(), []))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_taken_is_told_at_once(one, host):
    said = rf"port {one.at.record.port} of 127\.0\.0\.1 cannot be listened on"
    with socket.create_server((host, one.at.record.port)), pytest.raises(FedgrowError, match=said):
        one.carry_out()
    assert one.child is None
    assert one.run.state["state"] == "failed"


def test_a_superlink_that_ends_is_told_with_its_log(one, monkeypatch):
    monkeypatch.setattr(coordinator, "SUPERLINK", "raise SystemExit('no luck')")
    monkeypatch.setattr(coordinator, "UP_WITHIN", 60.0)
    with pytest.raises(
        FedgrowError, match=r"ended with exit code 1; its log .*superlink\.log ends:\nno luck"
    ):
        one.carry_out()


def test_a_superlink_that_is_slow_is_begun_again(one, monkeypatch):
    monkeypatch.setattr(coordinator, "SUPERLINK", "import time; time.sleep(600)")
    monkeypatch.setattr(coordinator, "MOST_RESTARTS", 1)
    slept = []
    monkeypatch.setattr(coordinator, "sleep", slept.append)
    with pytest.raises(FedgrowError, match=r"did not listen within .* 1 times without a round"):
        one.carry_out()
    assert slept == [2.0]
    assert not one.child.running()


def test_a_superlink_that_is_killed_while_it_begins_is_begun_again(one, monkeypatch):
    monkeypatch.setattr(coordinator, "UP_WITHIN", 60.0)
    monkeypatch.setattr(coordinator, "MOST_RESTARTS", 2)
    monkeypatch.setattr(coordinator, "sleep", lambda _: None)
    one.at.private.mkdir(exist_ok=True)
    (one.at.private / "superlink.log").write_text("said by one before\n")

    def once():
        one.child.end()
        killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
        monkeypatch.setattr(coordinator, "SUPERLINK", killed)
        raise LinkLost("the SuperLink ended")

    listens = (
        f"import socket, time; s = socket.create_server(('127.0.0.1', {one.at.record.port})); time.sleep(600)"
    )
    monkeypatch.setattr(coordinator, "SUPERLINK", listens)
    monkeypatch.setattr(coordinator, "Control", lambda _: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(one, "_once", once)
    said = r"ended by signal 9; .*superlink\.log has no word of it, 2 times without a round"
    with pytest.raises(FedgrowError, match=said):
        one.carry_out()


def test_a_message_whose_parts_are_not_taken_is_a_lost_link():
    class Grid:
        def push_messages(self, messages):
            raise ObjectPushError("part", 1, "session")

    with pytest.raises(LinkLost, match="ObjectPushError"):
        SiteGrid(Grid(), [1]).push_messages([])


def test_a_port_that_was_just_left_is_waited_for_and_the_folder_is_its_owners(one, monkeypatch):
    server = socket.create_server(("127.0.0.1", one.at.record.port))
    monkeypatch.setattr("fedgrow.sites.children.time.sleep", lambda _: server.close())
    monkeypatch.setattr(coordinator, "wait_until_listening", lambda *_: None)
    one.at.private.chmod(0o755)  # by an earlier fedgrow
    with one._link():
        assert one.child.running()
        assert stat.S_IMODE(one.at.private.stat().st_mode) == 0o700
