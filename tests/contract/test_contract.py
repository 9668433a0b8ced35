"""The contract itself: whatever is not listed is refused."""

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedgrow.errors import ContractError
from fedgrow.exchange.contract import EVALUATE, GROW, PREPARE, Contract
from fedgrow.exchange.records import to_record
from fedgrow.exchange.wire import become_server, to_bytes

SHARED = {"map/stream.out": torch.zeros(3, 2), "depth.mix/x": torch.ones(2)}
CONTRACT = Contract.of(SHARED, ("loss", "accuracy"), participant=1)


def request(kind: str = GROW) -> Message:
    become_server(1)
    return Message(RecordDict(), 1001, kind, group_id="3")


def reply(kind: str = GROW, **records) -> Message:
    metrics = {"participant": 1, "num-examples": 5, "loss": 0.5}
    content = {"metrics": MetricRecord(metrics), "arrays": to_record(SHARED)} | records
    return Message(RecordDict({k: v for k, v in content.items() if v is not None}), reply_to=request(kind))


def keep(kind: str = GROW, **records) -> Message:
    return CONTRACT.keep(request(kind), reply(kind, **records))


def metrics(**values) -> MetricRecord:
    return MetricRecord({"participant": 1, "num-examples": 5, **values})


def arrays(**changes) -> ArrayRecord:
    values = {name: Array(t.numpy()) for name, t in SHARED.items()}
    return ArrayRecord({k: v for k, v in (values | changes).items() if v is not None})


def test_what_is_listed_passes():
    assert set(keep().content["arrays"]) == set(SHARED)
    assert dict(keep(PREPARE, arrays=None, metrics=metrics()).content["metrics"])["num-examples"] == 5
    assert keep(EVALUATE, arrays=None, metrics=metrics(loss=1.0, accuracy=0.5)).has_content()


def padded() -> Array:
    values = SHARED["depth.mix/x"].numpy()
    honest = Array(values)
    return Array(honest.dtype, honest.shape, honest.stype, honest.data + b"private")


REFUSED = {
    "an array more": ({"arrays": arrays(secret=Array(np.ones(2, np.float32)))}, "secret"),
    "an array less": ({"arrays": arrays(**{"depth.mix/x": None})}, "depth.mix/x"),
    "another shape": ({"arrays": arrays(**{"depth.mix/x": Array(np.ones(3, np.float32))})}, "depth.mix/x"),
    "another type": ({"arrays": arrays(**{"depth.mix/x": Array(np.ones(2, np.float64))})}, "float64"),
    "not finite": ({"arrays": arrays(**{"depth.mix/x": Array(np.full(2, np.nan, np.float32))})}, "finite"),
    "bytes behind the values": ({"arrays": arrays(**{"depth.mix/x": padded()})}, "more than its values"),
    "a metric more": ({"metrics": metrics(loss=0.5, labels=3)}, "labels"),
    "a list as metric": ({"metrics": metrics(loss=[0.5, 0.6])}, "loss"),
    "a metric that is not finite": ({"metrics": metrics(loss=float("inf"))}, "loss"),
    "another participant's number": (
        {"metrics": MetricRecord({"participant": 2, "num-examples": 5, "loss": 0.5})},
        "participant",
    ),
    "a metric less": ({"metrics": metrics()}, "loss"),
    "fewer than one example": (
        {"metrics": MetricRecord({"participant": 1, "num-examples": -7, "loss": 0.5})},
        "num-examples",
    ),
    "a whole number as a loss": ({"metrics": metrics(loss=1)}, "loss"),
    "a record more": ({"state": ConfigRecord({"blob": b"weights"})}, "state"),
    "a second array record": ({"more": to_record(SHARED)}, "more"),
}


@pytest.mark.parametrize(("records", "named"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_listed_is_refused_and_named(records, named):
    with pytest.raises(ContractError, match=named):
        keep(**records)


def test_arrays_leave_with_no_other_message():
    with pytest.raises(ContractError, match="arrays"):
        keep(EVALUATE, metrics=metrics(loss=1.0, accuracy=0.5))


def test_an_unknown_message_type_is_refused():
    with pytest.raises(ContractError, match=r"query\.weights"):
        keep("query.weights", arrays=None)


def test_metadata_of_the_reply_does_not_travel():
    handed_in = reply()
    for field in ("_group_id", "_message_id", "_reply_to_message_id", "_message_type"):
        handed_in.metadata.__dict__[field] = "patient Weierstrass"
    assert b"Weierstrass" in to_bytes(handed_in)
    assert b"Weierstrass" not in to_bytes(CONTRACT.keep(request(), handed_in))


def test_the_layout_of_the_bytes_does_not_travel():
    matrix = SHARED["map/stream.out"].numpy() + np.arange(2, dtype=np.float32)
    plain, turned = Array(matrix), Array(np.asfortranarray(matrix))
    assert plain.data != turned.data
    sent = [
        keep(arrays=arrays(**{"map/stream.out": a})).content["arrays"]["map/stream.out"]
        for a in (plain, turned)
    ]
    assert sent[0].data == sent[1].data


def test_arrays_do_not_answer_another_question():
    with pytest.raises(ContractError, match="arrays"):
        CONTRACT.keep(request(EVALUATE), reply(GROW))
