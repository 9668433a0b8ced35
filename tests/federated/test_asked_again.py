"""What a participant keeps between rounds: a round asked for again is answered the same, and no update is lost."""

from dataclasses import replace

import pytest
import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict

from fedgrow.exchange.compression import restore
from fedgrow.exchange.contract import ARRAYS, CONFIG, GROW
from fedgrow.exchange.records import to_record
from fedgrow.exchange.wire import become_server, from_bytes, set_message_id, to_bytes
from fedgrow.federated import member
from fedgrow.federated.client_app import app
from fedgrow.federated.member import Member
from fedgrow.federated.resolve import resolve
from fedgrow.participants import participant
from fedgrow.runs.folder import RunFolder
from tests.federation import run_tiny, tiny_plan

TOP_K = {"kind": "top-k", "fraction": 0.1}
SCHEDULES = {
    "joint": {"kind": "joint", "rounds": 9, "steps": 2, "participation": 0.34},
    "two-phase": {"kind": "two-phase", "rounds": 9, "steps": 2, "local_steps": 2, "participation": 0.34},
}


def site(folder, **changes) -> Member:
    RunFolder.create(folder / "run", resolve(tiny_plan(**changes)), "local")
    return Member(folder / "run", 0)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_a_round_after_missed_ones_is_answered_again_the_same(tmp_path, schedule):
    one = site(tmp_path, schedule=schedule, compression=TOP_K)
    one.train_round(one.shared_start, 1)
    first, again = (one.train_round(one.shared_start, 6) for _ in range(2))
    for part in ("shared", "private"):
        before, after = getattr(first, part), getattr(again, part)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_message_asked_again_is_answered_the_same_and_not_carried_out_anew(tmp_path, monkeypatch):
    one = site(tmp_path)
    become_server(1)
    context = Context(
        1, 1000, {"partition-id": 0}, RecordDict(), {"run": str(one.run.path), "method": "dual-ligo"}
    )
    trained = []
    train_round = Member.train_round
    monkeypatch.setattr(Member, "train_round", lambda *of: trained.append(of[2]) or train_round(*of))

    def ask(server_round: int, scale: float = 1.0) -> str:
        arrays = to_record({name: t * scale for name, t in one.shared_start.items()})
        config = ConfigRecord({"server-round": server_round})
        content = RecordDict({ARRAYS: arrays, CONFIG: config})
        asked = Message(content, 1000, GROW, group_id=str(server_round))
        set_message_id(asked, f"id-{len(trained)}")
        answer = app(from_bytes(to_bytes(asked)), context)
        assert answer.metadata.reply_to_message_id == asked.metadata.message_id
        return answer.content.object_id

    first = ask(1)
    assert ask(1) == ask(1) == first
    assert trained == [1]
    second = ask(2)
    assert ask(2, 1.5) != second
    assert trained == [1, 2, 2]
    assert ask(1) == first
    assert trained == [1, 2, 2, 1]
    member.member_at.cache_clear()  # a new run may lie at the same place
    assert ask(1) == first
    assert trained == [1, 2, 2, 1, 1]


def test_what_was_lost_of_an_array_is_kept_until_its_next_turn(tmp_path):
    """Of arrays that are not in turn the server takes nothing."""
    turns = [["map/*/V"], ["map/*/U"]]
    operator = {"kind": "low-rank", "rank": 2, "turns": turns}
    one = site(tmp_path, operator=operator, compression=TOP_K, schedule={"rounds": 4, "steps": 2})
    given = one.shared_start
    for server_round in (1, 2, 3):
        kept = {} if server_round == 1 else one.lost.load(server_round - 1)
        read = restore(one.compression, one.train_round(given, server_round).shared, given)
        left = one.lost.load(server_round)
        for name in given:
            in_turn = one.approach.trains(one.plan, name, server_round)
            assert in_turn or torch.equal(read[name], given[name])
            assert in_turn or name not in kept or torch.equal(left[name], kept[name])
        assert any(t.any() for t in left.values())
        given = read


def test_a_step_that_is_skipped_while_the_small_model_is_readied_is_told(tmp_path, monkeypatch):
    whole = participant.fit
    monkeypatch.setattr(participant, "fit", lambda *a, **more: replace(whole(*a, **more), skipped=1))
    one = site(tmp_path, training={"batch_size": 8, "not_finite": "skip"})
    one.prepare()
    events = (one.folder / "private" / "events.jsonl").read_text("utf-8")
    assert '"event": "skipped"' in events
    assert one.prepared["steps"] == 2


def test_what_an_answer_that_was_not_taken_would_have_brought_is_not_lost(tmp_path, monkeypatch):
    """Of rounds 2 to 7 nothing was taken: round 8 brings what round 1 had left."""
    faults = {"mode": "quorum", "deadline": 1.0}
    one = site(tmp_path, compression=TOP_K, faults=faults, schedule={"rounds": 9, "steps": 2})
    one.train_round(one.shared_start, 1, taken=0)
    kept = one.lost.load(1)
    for server_round in range(2, 8):
        one.train_round(one.shared_start, server_round, taken=1)
    began = []
    whole = member.compress
    monkeypatch.setattr(member, "compress", lambda *of: began.append(of[3]) or whole(*of))
    first, again = (one.train_round(one.shared_start, 8, taken=1).shared for _ in range(2))
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert any(t.any() for t in kept.values())
    assert all(lost.keys() == kept.keys() for lost in began)
    assert all(torch.equal(lost[n], kept[n]) for lost in began for n in kept)
    assert len(began) == 2


def test_the_server_says_whose_answer_it_took(tmp_path):
    """Who is not drawn is told the last round that it had a part in."""
    asked = []

    def tap(way: str, data: bytes) -> None:
        message = from_bytes(data)
        if way == "down" and message.metadata.message_type == GROW:
            said = message.content[CONFIG]
            asked.append((message.metadata.dst_node_id, said["server-round"], said["taken"]))

    schedule = {"rounds": 6, "steps": 1, "participation": 0.67}
    run_tiny(tmp_path / "run", schedule=schedule, compression=TOP_K, tap=tap)
    last: dict[int, int] = {}
    for node, server_round, taken in asked:
        assert taken == last.get(node, 0)
        last[node] = server_round
    assert len(asked) == 12  # two of three in each
    assert any(taken < server_round - 1 for _, server_round, taken in asked)
