"""What really leaves: every serialised message of whole runs is read back, byte for byte."""

import pytest
from flwr.app import Message
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import Message as ProtoMessage

from fedgrow.disk.atomic import read_tensors
from fedgrow.exchange.contract import GROW
from fedgrow.learners.dual_ligo import global_operator
from fedgrow.runs.folder import RunFolder
from tests.federation import run_tiny
from tests.written import forms


def tapped(tmp_path, **changes) -> tuple[RunFolder, dict, list[bytes]]:
    sent: list[bytes] = []
    summary = run_tiny(
        tmp_path / "run", tap=lambda way, data: sent.append(data) if way == "up" else None, **changes
    )
    return RunFolder(tmp_path / "run"), summary, sent


def read(data: bytes) -> Message:
    return message_from_proto(ProtoMessage.FromString(data))


RUNS = {
    "joint": ("joint", {}),
    "two-phase": ("two-phase", {}),
    "partial with a residual": ("joint", {"operator": {"kind": "partial", "residual": 2}}),
    "tied from lemon": ("joint", {"operator": {"kind": "tied", "start": "lemon"}}),
    "evaluated along": ("joint", {}),
    "in int8": ("joint", {"compression": {"kind": "int8", "down": "int8"}}),
    "in two bits": (
        "joint",
        {"operator": {"residual": 2}, "compression": {"kind": "ternary", "down": "int4"}},
    ),
    "the largest in float16": ("joint", {"compression": {"kind": "top-k", "fraction": 0.2}}),
    "nothing learned is shared": ("joint", {"operator": {"kind": "fixed"}}),
}


@pytest.fixture(scope="module", params=RUNS.values(), ids=RUNS)
def run(request, tmp_path_factory) -> tuple[RunFolder, dict, list[bytes]]:
    kind, changes = request.param
    schedule = {"kind": kind, "rounds": 2, "steps": 2, "local_steps": 2}
    if request.param is RUNS["evaluated along"]:
        schedule["evaluation"] = "along"
    return tapped(tmp_path_factory.mktemp("contract"), schedule=schedule, **changes)


ALWAYS = {"participant", "num-examples"}
QUALITY = {"loss", "accuracy", "macro_precision", "macro_f1"}
LISTED = {
    "train.prepare": ALWAYS,
    "train.local": ALWAYS | {"loss"},
    "train.grow": ALWAYS | {"loss"},
    "evaluate.grow": ALWAYS | QUALITY,
    "query.save": ALWAYS,
}


def as_sent(plan, operator) -> dict[str, tuple[tuple[int, ...], str]]:
    """Names, shapes and types on the wire, from the plan alone."""
    found = {}
    for name, tensor in operator.items():
        shape, few = tuple(tensor.shape), -(-tensor.numel() // 5)
        if plan.compression.kind == "int8":
            found |= {name: (shape, "int8"), ":scale": ((len(operator),), "float32")}
        elif plan.compression.kind == "ternary":
            found |= {name: ((-(-tensor.numel() // 4),), "uint8"), ":scale": ((len(operator),), "float32")}
        elif plan.compression.kind == "top-k":
            found |= {f"{name}:places": ((few,), "int32"), f"{name}:values": ((few,), "float16")}
        else:
            found[name] = (shape, "float32")
    return found


def test_every_reply_holds_exactly_global_ligo_and_the_listed_metrics(run):
    folder, _, sent = run
    operator = global_operator(folder.plan, folder.family).initial()
    expected = as_sent(folder.plan, operator)
    for data in sent:
        message = read(data)
        kind = message.metadata.message_type
        content = message.content
        assert set(content) == ({"metrics", "arrays"} if kind == GROW else {"metrics"})
        assert not content.config_records
        along = folder.plan.schedule.evaluation == "along" and kind == GROW
        given = {f"given.{name}" for name in QUALITY} if along else set()
        assert set(content["metrics"]) == LISTED[kind] | given
        assert all(isinstance(value, int | float) for value in content["metrics"].values())
        if kind == GROW:
            found = {n: (tuple(a.shape), a.dtype) for n, a in content["arrays"].items()}
            assert found == expected


def test_every_phase_sent_its_messages(run):
    folder, _, sent = run
    kinds = [read(data).metadata.message_type for data in sent]
    people, rounds = len(folder.plan.participants), folder.plan.schedule.rounds
    along = folder.plan.schedule.evaluation == "along"
    assert kinds.count("train.grow") == people * rounds
    assert kinds.count("evaluate.grow") == (people if along else people * rounds)
    assert kinds.count("train.prepare") == kinds.count("query.save") == people
    assert kinds.count("train.local") == (people if folder.plan.schedule.kind == "two-phase" else 0)


def test_no_private_tensor_is_among_the_bytes(run):
    folder, _, sent = run
    everything, looked = b"".join(sent), 0
    for name in folder.plan.names:
        private = folder.participant(name) / "private"
        kept = [path for part in ("state", "lost") for path in (private / part).glob("*.safetensors")]
        for path in [private / "small" / "model.safetensors", *kept]:
            for key, tensor in read_tensors(path).items():
                for kind, written in forms(tensor).items():
                    assert written not in everything, f"{name}: {key}, {kind}"
                    looked += 1
    assert looked > 100


def test_no_name_label_or_path_is_among_the_bytes(run):
    folder, _, sent = run
    everything = b"".join(sent)
    for word in [*folder.plan.names, str(folder.path), "classifier", "bundled", "LABEL"]:
        assert word.encode() not in everything


def test_the_bytes_reported_are_the_bytes_that_left(run):
    _, summary, sent = run
    assert summary["exchange"]["bytes_up"] == sum(map(len, sent))
