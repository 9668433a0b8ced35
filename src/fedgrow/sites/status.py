"""How a federation stands, from what its coordinator has on disk."""

import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fedgrow.disk.atomic import read_record
from fedgrow.disk.lock import held
from fedgrow.federated.checkpoint import Checkpoints, RoundRecord
from fedgrow.sites.coordination import Coordination


class Seen(BaseModel):
    """What is known of a site just now."""

    online: bool = False
    last_seen: str | None = None


class Live(BaseModel):
    """What ``status.json`` holds."""

    time: str
    state: str
    sites: dict[str, Seen]


def status_of(path: Path) -> dict[str, Any]:
    """Return state, round, bytes, metrics, and every site's: invited, online, last seen, answered, refused.

    Raises:
        FedgrowError: the folder holds no coordinator.
    """
    at = Coordination.open(path)
    plan, rounds = at.plan, Checkpoints(at.run.path).rounds()
    last = rounds[-1] if rounds else RoundRecord(round=0, metrics={}, taken=[], bytes_up=0, bytes_down=0)
    state = at.run.state["state"]
    if state == "running" and held(at.run.path) is False:
        state = "not running"  # it ended without a word, or was not begun
    live = seen_at(at)
    shown = next((r.metrics for r in reversed(rounds) if set(r.metrics) > {"train_loss"}), last.metrics)
    told = _counted(at.run.path / "events.jsonl")
    keys = at.keys()
    sites = {}
    for index, name in enumerate(plan.names):
        seen = live.get(name, Seen())
        sites[name] = {
            "invited": name in keys,
            "online": seen.online and state == "running",
            "last_seen": seen.last_seen,
            "answered": told["answered", index],
            "refused": told["refused", index],
            "left_out": told["left out", index],
            "metrics": {metric: values[index] for metric, values in shown.items() if len(values) > index},
        }
    return {
        "experiment": at.experiment,
        "state": state,
        "round": last.round,
        "rounds": plan.schedule.rounds,
        "bytes_up": last.bytes_up,
        "bytes_down": last.bytes_down,
        "metrics": list(shown),
        "sites": sites,
    }


def seen_at(at: Coordination) -> dict[str, Seen]:
    """Return what was known of the sites when that was written last, by name."""
    file = at.folder / "status.json"
    return read_record(file, Live).sites if file.is_file() else {}


def _counted(events: Path) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    if events.is_file():
        for line in events.read_text("utf-8", errors="replace").splitlines():
            with contextlib.suppress(
                ValueError, KeyError, TypeError
            ):  # a log, of which a line may be cut short
                event = json.loads(line)
                if event["event"] in ("answered", "refused", "left out"):
                    found[event["event"], event["participant"]] += 1
    return found
