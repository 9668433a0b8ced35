"""One federation of a baseline on the tiny plan, with a tap on its messages."""

from pathlib import Path
from typing import Any

import yaml

from fedgrow.approaches import APPROACHES, Federated
from fedgrow.config.load import parse_plan
from fedgrow.exchange.contract import ARRAYS
from fedgrow.exchange.records import from_record
from fedgrow.exchange.wire import from_bytes
from fedgrow.federated.carry_out import prepared_sites
from fedgrow.federated.client_app import app as client_app
from fedgrow.federated.local_grid import FIRST_NODE, Tap, run_local
from fedgrow.federated.member import Member, member_at
from fedgrow.federated.resolve import resolve
from fedgrow.federated.server_app import app as server_app
from fedgrow.federated.simulate import forget
from fedgrow.runs.folder import RunFolder
from tests.federation import PLAN

DIGITS = PLAN["data"] | {"labels": [str(i) for i in range(10)]}
SHAPES = [p["model"] for p in PLAN["participants"]]


def begin(out: Path, name: str, **changes: Any) -> RunFolder:
    """Make a run folder with prepared small models, and settle a baseline."""
    forget()
    values = {**PLAN, "data": DIGITS, "baselines": [name], **changes}
    plan = parse_plan(yaml.safe_dump(values), "tiny", Path.cwd())
    run = RunFolder.create(out, resolve(plan), "local")
    approach = APPROACHES[name]
    assert isinstance(approach, Federated)
    approach.settle(run, prepared_sites(run))
    return run


def federate(run: RunFolder, name: str, tap: Tap | None = None) -> None:
    """Run a baseline's federation, or go on with it."""
    config: dict[str, str | int] = {"run": str(run.path), "method": name}
    run_local(server_app, client_app, len(run.plan.participants), config, tap)


def sites(run: RunFolder, name: str) -> list[Member]:
    """Return all participants in a baseline."""
    return [member_at(str(run.path), i, name) for i in range(len(run.plan.participants))]


class Heard:
    """Keeps every message with arrays: its way, its participant, its type, its arrays and its bytes."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, int, str, dict[str, Any], int]] = []

    def __call__(self, way: str, data: bytes) -> None:
        message = from_bytes(data)
        meta = message.metadata
        node = meta.dst_node_id if way == "down" else meta.src_node_id
        if message.has_content() and ARRAYS in message.content:
            arrays = from_record(message.content.array_records[ARRAYS])
            if arrays:
                self.messages.append((way, node - FIRST_NODE, meta.message_type, arrays, len(data)))


class Pull:
    """Pulls the plug after so many messages."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, way: str, data: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
