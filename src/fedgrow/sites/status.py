"""How a federation stands, from what its coordinator has on disk."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from fedgrow.federated.checkpoint import Checkpoints
from fedgrow.runs.atomic import read_json
from fedgrow.sites.coordination import Coordination


def status_of(path: Path) -> dict[str, Any]:
    """Return state, round, bytes, metrics, and every site's: invited, online, last seen, answered, refused.

    Raises:
        FedgrowError: the folder holds no coordinator.
    """
    at = Coordination.open(path)
    plan, rounds = at.plan, Checkpoints(at.run.path).rounds()
    none: dict[str, Any] = {"round": 0, "metrics": {}, "bytes_up": 0, "bytes_down": 0}
    last = rounds[-1] if rounds else none
    file = at.folder / "status.json"
    live: dict[str, Any] = read_json(file)["sites"] if file.is_file() else {}
    shown = next(
        (r["metrics"] for r in reversed(rounds) if set(r["metrics"]) > {"train_loss"}), last["metrics"]
    )
    told = _counted(at.run.path / "events.jsonl")
    keys = at.keys()
    sites = {}
    for index, name in enumerate(plan.names):
        seen = live.get(name, {})
        sites[name] = {
            "invited": name in keys,
            "online": bool(seen.get("online")) and at.run.state["state"] == "running",
            "last_seen": seen.get("last_seen"),
            "answered": told["answered", index],
            "refused": told["refused", index],
            "left_out": told["left out", index],
            "metrics": {metric: values[index] for metric, values in shown.items()},
        }
    return {
        "experiment": at.experiment,
        "state": at.run.state["state"],
        "round": last["round"],
        "rounds": plan.schedule.rounds,
        "bytes_up": last["bytes_up"],
        "bytes_down": last["bytes_down"],
        "metrics": list(shown),
        "sites": sites,
    }


def _counted(events: Path) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    if events.is_file():
        for line in events.read_text("utf-8").splitlines():
            event = json.loads(line)
            if event["event"] in ("answered", "refused", "left out"):
                found[event["event"], event["participant"]] += 1
    return found
