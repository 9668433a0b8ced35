"""The contract itself: whatever is not listed is refused."""

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from fedgrow.errors import ContractError
from fedgrow.exchange.contract import EVALUATE, GROW, PREPARE, Contract
from fedgrow.exchange.records import to_record
from fedgrow.federated.flower import become_server

SHARED = {"map/stream.out": torch.zeros(3, 2), "depth.mix/x": torch.ones(2)}
CONTRACT = Contract.of(SHARED, ("accuracy",), participant=1)


def reply(kind: str = GROW, **records) -> Message:
    become_server(1)
    metrics = {"participant": 1, "num-examples": 5, "loss": 0.5}
    content = {"metrics": MetricRecord(metrics), "arrays": to_record(SHARED)} | records
    request = Message(RecordDict(), 1001, kind)
    return Message(RecordDict({k: v for k, v in content.items() if v is not None}), reply_to=request)


def metrics(**values) -> MetricRecord:
    return MetricRecord({"participant": 1, "num-examples": 5, **values})


def arrays(**changes) -> ArrayRecord:
    values = {name: Array(t.numpy()) for name, t in SHARED.items()}
    return ArrayRecord({k: v for k, v in (values | changes).items() if v is not None})


def test_what_is_listed_passes():
    CONTRACT.check(reply())
    CONTRACT.check(reply(PREPARE, arrays=None, metrics=metrics()))
    CONTRACT.check(reply(EVALUATE, arrays=None, metrics=metrics(loss=1.0, accuracy=0.5)))


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
        {"metrics": MetricRecord({"participant": 2, "num-examples": 5})},
        "participant",
    ),
    "a record more": ({"state": ConfigRecord({"blob": b"weights"})}, "state"),
    "a second array record": ({"more": to_record(SHARED)}, "more"),
}


@pytest.mark.parametrize(("records", "named"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_listed_is_refused_and_named(records, named):
    with pytest.raises(ContractError, match=named):
        CONTRACT.check(reply(**records))


def test_arrays_leave_with_no_other_message():
    with pytest.raises(ContractError, match="arrays"):
        CONTRACT.check(reply(EVALUATE, metrics=metrics(loss=1.0)))


def test_an_unknown_message_type_is_refused():
    with pytest.raises(ContractError, match=r"query\.weights"):
        CONTRACT.check(reply("query.weights", arrays=None))
