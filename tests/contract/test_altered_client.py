"""A client altered to send something private is stopped before the network."""

import pytest
import torch
from flwr.app import Array, Message

from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import ARRAYS
from fedgrow.federated import client_app
from fedgrow.federated.participant import Participant
from fedgrow.runs.atomic import read_json
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
    def fail(self, shared, server_round):
        raise ValueError("the patient's name is Weierstrass")

    monkeypatch.setattr(Participant, "train_round", fail)
    sent: list[bytes] = []
    with pytest.raises(FedgrowError):
        run_tiny(tmp_path / "run", tap=lambda way, data: sent.append(data))
    assert b"Weierstrass" not in b"".join(sent)
    log = (tmp_path / "run" / "participants" / "ada" / "private" / "site.log").read_text()
    assert "Weierstrass" in log
