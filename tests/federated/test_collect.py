"""Answers are gathered whatever happens to sites: each fault is made on purpose, on a grid without a network."""

from time import monotonic

import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid

from fedgrow.config.plan import FaultsPlan
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import GROW, Contract
from fedgrow.exchange.packing import packed
from fedgrow.exchange.records import to_record
from fedgrow.exchange.wire import LOST, UNREADABLE, become_server, error_reply
from fedgrow.federated import collect
from fedgrow.federated.collect import Collector

NAMES = ["ada", "bob", "cyd"]
SLOW = 0.5  # seconds
START = {"map/U": torch.zeros(2, 2)}


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    for name, seconds in (("POLL", 0.01), ("LOOK_EVERY", 0.01), ("AGAIN_AFTER", 0.02)):
        monkeypatch.setattr(collect, name, seconds)


class Faulty(Grid):
    """Answers as each site's script says, one word a message.

    They are ok, silent, slow, restarted (its node was, and knows nothing of the message), lost (Flower says so), error,
    wrong, stale, someone else, infinite, not packed.
    """

    def __init__(self, scripts: dict[int, list[str]], away: dict[int, int] | None = None) -> None:
        become_server(1)
        self.scripts, self.away = scripts, away or {}
        self.pushed: list[int] = []
        self.ttl: list[float] = []
        self.waiting: dict[str, Message] = {}
        self.ready: dict[str, float] = {}
        self.since: dict[int, str] = {}

    def get_nodes(self):
        for node in list(self.away):
            self.away[node] -= 1
            if self.away[node] < 0:
                del self.away[node]
        there = [node for node in self.scripts if node not in self.away]
        return [NodeInfo(node_id=node, last_activated_at=self.since.get(node, "")) for node in there]

    def push_messages(self, messages):
        ids = []
        for message in messages:
            node = message.metadata.dst_node_id
            self.pushed.append(node)
            self.ttl.append(message.metadata.ttl)
            word = self.scripts[node].pop(0) if self.scripts[node] else "ok"
            name = f"id-{len(self.pushed)}"
            message.metadata.__dict__["_message_id"] = name
            ids.append(name)
            if word == "restarted":
                self.since[node] = name
            elif word != "silent":
                self.waiting[name] = reply(message, node, word)
                self.ready[name] = monotonic() + SLOW * (word == "slow")
        return ids

    def pull_messages(self, message_ids):
        ready = [n for n in message_ids if n in self.waiting and monotonic() >= self.ready[n]]
        return [self.waiting.pop(name) for name in ready]

    set_run = run = create_message = get_node_ids = send_and_receive = None


Faulty.__abstractmethods__ = frozenset()


def reply(message: Message, node: int, word: str) -> Message:
    if word == "error":
        return error_reply(ValueError("x"), message)
    if word == "lost":
        return Message(Error(LOST[-1], "x"), reply_to=message)
    if word == "no message":
        return Message(Error(UNREADABLE, ""), reply_to=message)
    value = {"infinite": np.inf}.get(word, 1.0)
    shape = (3, 2) if word == "wrong" else (2, 2)
    who = node - 1000 + (word == "someone else")
    content = RecordDict(
        {
            "metrics": MetricRecord({"participant": who, "num-examples": 5, "loss": 0.5}),
            "arrays": to_record({"map/U": np.full(shape, value, "float32")}),
        }
    )
    answer = Message(content if word == "not packed" else packed(content), reply_to=message)
    if word == "stale":
        answer.metadata.__dict__["_group_id"] = "1"
    return answer


def gather(grid: Faulty, read=lambda *_: None, **faults) -> tuple[list[int], list[tuple[str, int]]]:
    """Return who was heard, and what was told."""
    told: list[tuple[str, int]] = []
    collector = Collector(
        grid,
        FaultsPlan(**{"deadline": 0.2, "patience": 1.0} | faults),
        {i: 1000 + i for i in range(3)},
        NAMES,
        {i: Contract.of(START, ("loss",), i) for i in range(3)},
        read,
        lambda event, **values: told.append((event, values["participant"])),
        lambda: None,
    )
    content = RecordDict({"arrays": to_record(START), "config": ConfigRecord({"server-round": 2})})
    messages = [Message(content, 1000 + i, GROW, group_id="2") for i in range(3)]
    answers = collector(messages)
    return [int(a.content.metric_records["metrics"]["participant"]) for a in answers], told


def scripts(**words: list[str]) -> dict[int, list[str]]:
    return {1000 + i: list(words.get(name, [])) for i, name in enumerate(NAMES)}


def test_all_answer_and_are_asked_once():
    grid = Faulty(scripts())
    heard, told = gather(grid)
    assert heard == [0, 1, 2]
    assert grid.pushed == [1000, 1001, 1002]
    assert told == [("answered", 0), ("answered", 1), ("answered", 2)]


@pytest.mark.parametrize("fault", ["error", "wrong", "infinite", "stale", "someone else", "not packed"])
@pytest.mark.parametrize("mode", ["strict", "quorum"])
def test_what_cannot_be_taken_is_refused_and_asked_for_again(fault, mode):
    grid = Faulty(scripts(bob=[fault, fault]))
    heard, told = gather(grid, mode=mode, deadline=5.0, patience=10.0)
    assert heard == [0, 1, 2]
    assert told.count(("refused", 1)) == 2
    assert grid.pushed.count(1001) == 3
    assert grid.pushed.count(1000) == 1


def test_a_change_that_the_server_does_not_take_is_asked_for_again():
    asked = []

    def read(index, request, answer):
        asked.append(index)
        if asked.count(2) == 1 and index == 2:
            raise FedgrowError("too large")

    heard, told = gather(Faulty(scripts()), read)
    assert heard == [0, 1, 2]
    assert ("refused", 2) in told


@pytest.mark.parametrize("mode", ["strict", "quorum"])
def test_who_was_away_since_is_asked_again(mode):
    grid = Faulty(scripts(ada=["restarted"] * 4))
    heard, told = gather(grid, mode=mode, deadline=2.0, patience=2.0)
    assert heard == [0, 1, 2]
    assert grid.pushed.count(1000) == 5
    assert grid.pushed.count(1001) == 1
    assert ("refused", 0) not in told


def test_strict_waits_for_the_slow_and_asks_once():
    """A copy that is asked meanwhile would be trained after the answer; one that expires cannot be answered."""
    grid = Faulty(scripts(ada=["slow"]))
    heard, _ = gather(grid, deadline=0.05, patience=10.0)
    assert heard == [0, 1, 2]
    assert grid.pushed == [1000, 1001, 1002]
    assert set(grid.ttl) == {10.0}


def test_strict_asks_the_silent_again_before_it_gives_up():
    grid = Faulty(scripts(ada=["silent"]))
    heard, _ = gather(grid, patience=0.6)
    assert heard == [0, 1, 2]
    assert grid.pushed.count(1000) == 2


@pytest.mark.parametrize(
    ("fault", "tries", "why"),
    [
        ("not packed", 5, r"arrays \['map/U'\] are not packed"),
        ("wrong", 5, r"array 'map/U' is .*\(3, 2\)"),
        ("no message", 5, "what it answered is no message"),
        ("error", 50, r"the site could not answer \(code 2\)"),
    ],
)
def test_strict_ends_where_answers_cannot_be_taken(monkeypatch, fault, tries, why):
    monkeypatch.setattr(collect, "AGAIN_MOST", 0.02)
    grid = Faulty(scripts(bob=[fault] * 99))
    with pytest.raises(
        FedgrowError, match=rf"no answer of bob could be taken, the last of {tries} for: {why}"
    ):
        gather(grid, patience=30.0)
    assert grid.pushed.count(1001) == tries


def test_quorum_closes_without_whose_answers_cannot_be_taken(monkeypatch):
    monkeypatch.setattr(collect, "AGAIN_AFTER", 0.001)
    grid = Faulty(scripts(bob=["wrong"] * 99))
    heard, told = gather(grid, mode="quorum", deadline=0.8)
    assert heard == [0, 2]
    assert grid.pushed.count(1001) == 5
    assert told[-1] == ("left out", 1)


def test_one_that_failed_is_asked_less_and_less_often(monkeypatch):
    monkeypatch.setattr(collect, "AGAIN_AFTER", 0.1)
    grid = Faulty(scripts(bob=["error"] * 99))
    with pytest.raises(
        FedgrowError, match=r"no answer from bob .*; bob's last was refused: the site could not"
    ):
        gather(grid, patience=1.0)
    assert 3 <= grid.pushed.count(1001) <= 4


def test_what_is_lost_on_the_way_is_asked_for_again_and_not_counted(monkeypatch):
    monkeypatch.setattr(collect, "MOST_FAILED", 2)
    grid = Faulty(scripts(ada=["lost"] * 6))
    heard, _ = gather(grid, patience=10.0)
    assert heard == [0, 1, 2]
    assert grid.pushed.count(1000) == 7


def test_a_site_that_is_away_is_asked_when_it_is_back():
    grid = Faulty(scripts(), away={1002: 3})
    heard, told = gather(grid)
    assert heard == [0, 1, 2]
    assert grid.pushed[-1] == 1002
    assert ("refused", 2) not in told


def test_strict_gives_up_when_nobody_is_heard_for_long():
    with pytest.raises(FedgrowError, match=r"no answer from bob for 0 s \(faults.patience\)"):
        gather(Faulty(scripts(bob=["silent"] * 99)), patience=0.4)


def test_quorum_closes_at_the_deadline_with_those_that_answered():
    heard, told = gather(Faulty(scripts(bob=["silent"] * 99)), mode="quorum", quorum=0.6)
    assert heard == [0, 2]
    assert told[-1] == ("left out", 1)


def test_quorum_does_not_close_with_too_few():
    with pytest.raises(FedgrowError, match="no answer from bob, cyd"):
        gather(
            Faulty(scripts(bob=["silent"] * 99, cyd=["silent"] * 99)), mode="quorum", quorum=0.6, patience=0.5
        )


def test_nothing_is_waited_for_when_the_link_is_gone():
    class Gone(Exception):
        pass

    def gone() -> None:
        raise Gone

    collector = Collector(
        Faulty(scripts()), FaultsPlan(), {0: 1000}, NAMES, {}, lambda *_: None, lambda *_, **__: None, gone
    )
    with pytest.raises(Gone):
        collector([Message(RecordDict(), 1000, GROW)])
