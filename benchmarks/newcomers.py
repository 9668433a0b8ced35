"""Does the trained Global-LiGO hold knowledge that a newcomer can use?

Question: participants that were not in the federation take its Global-LiGO as it is and train only their Local-LiGO and
head (`newcomer`), only their head (`head-only`; with the untrained operator: `untrained`), or train it on (`warm`). After
how many steps do they reach the mean that the members reached, against growing alone from the untrained start (`alone`),
with the same steps and data, and against the small model fine-tuned locally (`small`)? A run that never reaches it counts as
such. Newcomers may simply have harder shards than members: what the same newcomers reach where they are members from the
start, and the steps to where `alone` ends, stand beside.

The plan's last participants are the newcomers; shards are dealt out once, so that nobody shares examples.

Command:  python benchmarks/newcomers.py digits --out FOLDER [--newcomers 1] [--seeds 101,102,103] [--rounds 16]
              [--change alone operator.rank=8] ...
Last result: benchmarks/results/newcomers.md
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from fedgrow.comparison.results import gather
from fedgrow.comparison.run import StudyRun, cores
from fedgrow.config.load import load_plan, load_study
from fedgrow.config.plan import Plan
from fedgrow.data.examples import Examples
from fedgrow.disk.atomic import read_json
from fedgrow.federated.resolve import resolve
from fedgrow.federated.simulate import simulate
from fedgrow.markdown import table
from fedgrow.runs.folder import deal, shared_source
from fedgrow.tasks import TASKS

KEPT = {"operator.trained": "", "operator.frozen": True}
METHODS: dict[str, Any] = {
    "head-only": {"approach": "independent", "set": KEPT | {"local_operator": {"kind": "fixed"}}},
    "newcomer": {"approach": "independent", "set": KEPT | {"local_operator": {"kind": "low-rank"}}},
    "untrained": {
        "approach": "independent",
        "set": {"operator.frozen": True, "local_operator": {"kind": "fixed"}},
    },
    "warm": {"approach": "independent", "set": {"operator.trained": ""}},
    "alone": {"approach": "independent"},
    "small": {"approach": "small"},
}
TARGETS = ("the members' mean", "what they reach as members from the start", "where alone ends")


def write_shard(file: Path, shard: Examples) -> Path:
    """Write a participant's examples as a file of its own."""
    if isinstance(shard.inputs, list):
        file = file.with_suffix(".parquet")
        pd.DataFrame({"text": shard.texts, "label": shard.labels}).to_parquet(file)
    else:
        file = file.with_suffix(".npz")
        np.savez(file, image=shard.images, label=np.array(shard.labels))
    return file


def with_own_shards(plan: Plan, folder: Path) -> dict[str, Any]:
    """Deal the plan's data out and return the plan, as settings, with every shard as its participant's own data."""
    folder.mkdir(parents=True, exist_ok=True)
    shards, data = deal(plan).shards, plan.data
    assert data is not None
    raw = plan.model_dump(mode="json", exclude={"metrics", "baselines"})
    labels = sorted(set(shared_source(plan).labels or ()))
    for entry in raw["participants"]:
        file = write_shard(folder / entry["name"], shared_source(plan).take(shards[entry["name"]]))
        entry["data"] = {"source": str(file), "test_fraction": data.test_fraction, "labels": labels}
    return raw | {"data": None}


def federation(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Run a federation, or go on with it, and return its summary."""
    plan = folder.with_suffix(".yaml")
    plan.write_text(yaml.safe_dump(settings))
    simulate(load_plan(plan), folder, resume=(folder / "run.json").is_file())
    summary: dict[str, Any] = read_json(folder / "summary.json")
    return summary


def methods(operator: Path, changes: list[list[str]]) -> dict[str, Any]:
    """Return what newcomers do, with the members' operator and the command's changes."""
    found: dict[str, Any] = json.loads(json.dumps(METHODS).replace('""', json.dumps(str(operator))))
    for name, setting in changes:
        key, _, value = setting.partition("=")
        found[name].setdefault("set", {})[key] = yaml.safe_load(value)
    return found


def one_seed(args: argparse.Namespace, seed: int) -> tuple[list[float], pd.DataFrame, bool]:
    """Run the federations, then newcomers.

    Returns:
        The members' mean and the newcomers' as members from the start, the newcomers' runs, and whether more is better.
    """
    folder = args.out / str(seed)
    plan = resolve(load_plan(args.plan, [*args.set, f"seed={seed}", "baselines=[]"]))
    metric = TASKS[plan.task].metrics[0]
    raw = with_own_shards(plan, folder / "shards")
    people, later = raw["participants"], raw["participants"][-args.newcomers :]
    members = federation(folder / "members", raw | {"participants": people[: -args.newcomers]})
    everyone = federation(folder / "everyone", raw)
    targets = [
        statistics.mean(report["grown"]["metrics"][metric] for report in reports)
        for reports in (members["participants"], everyone["participants"][-args.newcomers :])
    ]
    schedule = raw["schedule"] | {"kind": "joint", "rounds": args.rounds, "steps": args.steps}
    (folder / "newcomers.yaml").write_text(
        yaml.safe_dump(raw | {"participants": later, "schedule": schedule})
    )
    study = {
        "name": "newcomers",
        "plan": "newcomers.yaml",
        "methods": methods(folder / "members" / "operator", args.change),
        "seeds": [seed],
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    work = StudyRun(load_study(folder / "study.yaml"), folder / "study")
    failed = work.run(args.jobs, lambda *_: None)
    if failed:
        raise SystemExit(f"failed: {failed}")
    return targets, gather(work), TASKS[plan.task].higher_is_better(metric)


def steps_to(target: float, line: Any, steps: int, higher: bool) -> int | None:
    """Return the steps after which a run's mean first is at the target; None if it never is."""
    for point in json.loads(line["curve"]):
        if (point["value"] >= target) if higher else (point["value"] <= target):
            return int(point["round"]) * steps
    return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--newcomers", type=int, default=1)
    parser.add_argument("--seeds", default="101,102,103")
    parser.add_argument("--rounds", type=int, default=16, help="evaluations on the way")
    parser.add_argument("--steps", type=int, default=10, help="steps between them")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--change",
        nargs=2,
        action="append",
        default=[],
        metavar=("METHOD", "KEY=VALUE"),
        help="of one method",
    )
    parser.add_argument("--jobs", type=int, default=cores())
    args = parser.parse_args()
    args.out = args.out.resolve()
    rows = [["seed", "method", "end", *(f"steps to {target}" for target in TARGETS)]]
    for seed in map(int, args.seeds.split(",")):
        targets, frame, higher = one_seed(args, seed)
        lines = {name: frame[frame["method"] == name].iloc[0] for name in METHODS}
        ends = {name: float(line[line["metric"] + "_mean"]) for name, line in lines.items()}
        targets.append(ends["alone"])
        rows.append([str(seed), "", "", *(f"{target:.3f}" for target in targets)])
        for name, line in lines.items():
            reached = [steps_to(target, line, args.steps, higher) for target in targets]
            cells = ["never" if steps is None else str(steps) for steps in reached]
            rows.append([str(seed), name, f"{ends[name]:.3f}", *cells])
        print("\n".join(table(rows)), flush=True)


if __name__ == "__main__":
    main()
