"""The ledger: every message that leaves, and that nothing in it was changed."""

import json

import numpy as np
import pytest
from flwr.app import Message, MetricRecord, RecordDict

from fedgrow.errors import FedgrowError
from fedgrow.exchange.packing import packed
from fedgrow.exchange.records import to_record
from fedgrow.exchange.wire import become_server, error_reply, to_bytes
from fedgrow.sites.audit import audited, in_words
from fedgrow.sites.ledger import Ledger, _hash, verify


def reply(value: float) -> Message:
    become_server(7)
    request = Message(RecordDict(), 1001, "train.grow", group_id="1")
    content = RecordDict({"metrics": MetricRecord({"loss": value, "participant": 0})})
    content["arrays"] = to_record({"map/U": np.full((3, 2), value, "float32")})
    return Message(packed(content), reply_to=request)


@pytest.fixture
def ledger(tmp_path):
    one = Ledger(tmp_path / "ledger.jsonl")
    for round_ in (1, 2, 3):
        one.enter(reply(round_ / 2), round_)
    return one


def test_a_line_says_what_left_and_not_its_values(ledger):
    line = json.loads(ledger.path.read_text().splitlines()[1])
    assert line["arrays"] == {"map/U": ["float32", [3, 2]]}
    assert line["metrics"] == {"loss": 1.0, "participant": 0}
    assert (line["round"], line["entry"], line["bytes"]) == (2, 2, len(to_bytes(reply(1.0))))


def test_an_opened_ledger_goes_on(ledger):
    again = Ledger(ledger.path)
    assert (again.entries, again.head, again.bytes) == (3, ledger.head, ledger.bytes)
    again.enter(error_reply(ValueError("no"), reply(1.0)), 4)
    found = audited(ledger.path)
    assert (found["entries"], found["errors"], found["rounds"]) == (4, 1, 4)


@pytest.mark.parametrize(
    "spoil", ["change", "change and hash anew", "remove", "insert", "swap", "cut", "not json"]
)
def test_whatever_is_altered_is_found(ledger, spoil):
    lines = ledger.path.read_text().splitlines(keepends=True)
    if spoil == "change":
        lines[1] = lines[1].replace('"round": 2', '"round": 1')
    elif spoil == "change and hash anew":  # the line is whole by itself; the next does not follow it
        entry = {k: v for k, v in json.loads(lines[1]).items() if k != "hash"} | {"bytes": 1}
        lines[1] = json.dumps(entry | {"hash": _hash(entry)}) + "\n"
    elif spoil == "remove":
        del lines[1]
    elif spoil == "insert":
        lines.insert(1, lines[1])
    elif spoil == "swap":
        lines[1:] = lines[:0:-1]
    elif spoil == "cut":
        lines[-1] = lines[-1][:40]
    else:
        lines[0] = "{}\n"
    ledger.path.write_text("".join(lines))
    with pytest.raises(FedgrowError, match=r"line \d is not as it was written"):
        verify(ledger.path)


def test_a_ledger_cut_short_is_found_by_a_noted_hash(ledger):
    noted = ledger.head
    assert audited(ledger.path, noted)["entries"] == 3
    ledger.path.write_text("".join(ledger.path.read_text().splitlines(keepends=True)[:2]))
    verify(ledger.path)
    with pytest.raises(FedgrowError, match="lines were taken off its end"):
        audited(ledger.path, noted)


def test_a_line_not_written_to_its_end_is_taken_off_when_a_site_begins(ledger):
    with ledger.path.open("a") as file:
        file.write('{"entry": 4, "ti')
    assert Ledger(ledger.path).entries == 3
    assert len(verify(ledger.path)) == 3


def test_in_words(ledger, tmp_path):
    words = in_words(audited(ledger.path))
    assert "3 messages (3 to train.grow)" in words
    assert "1 arrays of Global-LiGO, 6 numbers: map/U" in words
    assert "loss, participant" in words
    assert in_words(audited(tmp_path / "none.jsonl")) == "whole; nothing has left."
