"""A client altered to send something private is stopped before the network."""

import pytest
import torch
from flwr.app import Array, Message, RecordDict

from fedgrow.disk.atomic import read_json
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import ARRAYS
from fedgrow.exchange.wire import become_server
from fedgrow.federated import client_app
from fedgrow.federated.local_grid import FIRST_NODE, LocalGrid
from fedgrow.federated.member import Member
from tests.federation import run_tiny

MARK = 1234.5678


def run_with(tmp_path, monkeypatch, alter) -> tuple[bytes, str]:
    """Run with an altered reply; return all bytes that left, and the error."""
    honest = client_app.reply_with

    def altered(message, site, metrics, arrays=None) -> Message:
        reply = honest(message, site, metrics, arrays)
        if arrays is not None:
            alter(reply, site)
        return reply

    monkeypatch.setattr(client_app, "reply_with", altered)
    sent: list[bytes] = []
    with pytest.raises(FedgrowError) as error:
        run_tiny(tmp_path / "run", tap=lambda way, data: sent.append(data))
    assert not (tmp_path / "run" / "summary.json").exists()
    assert read_json(tmp_path / "run" / "run.json")["state"] == "failed"
    return b"".join(sent), str(error.value)


def test_one_private_tensor_more_is_stopped(tmp_path, monkeypatch):
    secret = torch.full((7,), MARK).numpy()

    def add_the_head(reply, site):
        reply.content[ARRAYS]["classifier.weight"] = Array(secret)

    sent, error = run_with(tmp_path, monkeypatch, add_the_head)
    assert secret.tobytes() not in sent
    assert b"classifier" not in sent
    assert "classifier.weight" in error  # the simulation reads the site's own log; the message did not say it


def test_a_private_tensor_under_a_listed_name_is_stopped(tmp_path, monkeypatch):
    secret = torch.full((7,), MARK).numpy()

    def disguise(reply, site):
        reply.content[ARRAYS][next(iter(reply.content[ARRAYS]))] = Array(secret)

    sent, _ = run_with(tmp_path, monkeypatch, disguise)
    assert secret.tobytes() not in sent


def test_an_exceptions_text_does_not_travel(tmp_path, monkeypatch):
    def fail(self, shared, server_round, taken=None):
        raise ValueError("the patient's name is Weierstrass")

    monkeypatch.setattr(Member, "train_round", fail)
    sent: list[bytes] = []
    with pytest.raises(FedgrowError):
        run_tiny(tmp_path / "run", tap=lambda way, data: sent.append(data))
    assert b"Weierstrass" not in b"".join(sent)
    log = (tmp_path / "run" / "participants" / "ada" / "private" / "site.log").read_text()
    assert "Weierstrass" in log


def test_a_method_that_the_plan_does_not_list_is_refused(tmp_path):
    """A server cannot turn a site of Fed-Grow into one that sends a whole model."""
    run_tiny(tmp_path / "run")
    become_server(1)
    config = {"run": str(tmp_path / "run"), "method": "fedavg"}
    grid = LocalGrid(client_app.app, 3, config)
    reply = next(iter(grid.send_and_receive([Message(RecordDict(), FIRST_NODE, "train.prepare")])))
    assert reply.has_error()
    with pytest.raises(FedgrowError, match="not in the plan"):
        Member(tmp_path / "run", 0, "fedavg")


@pytest.mark.parametrize("kind", ["query.nothing", "train.nothing", "train.grow"])
def test_no_text_of_a_failure_travels_whatever_fails(tmp_path, monkeypatch, kind):
    """Before there is a participant, in no handler at all, and when even the log cannot be written."""

    def full(site, error):
        raise OSError("/private/path is full")

    monkeypatch.setattr(client_app, "write_log", full)
    sent: list[bytes] = []
    for run in (tmp_path / "no such patient", tmp_path / "run"):
        if run.name == "run":
            run_tiny(run)
        grid = LocalGrid(
            client_app.app,
            3,
            {"run": str(run), "method": "dual-ligo"},
            lambda way, data: sent.append(data) if way == "up" else None,
        )
        reply = next(iter(grid.send_and_receive([Message(RecordDict(), FIRST_NODE, kind)])))
        assert reply.has_error()
    everything = b"".join(sent)
    for word in (b"patient", b"plan.yaml", b"/private", b"ada", b"registered", b"Errno"):
        assert word not in everything
