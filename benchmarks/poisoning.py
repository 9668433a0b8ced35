"""What do participants that send poisoned updates do to the others, under each of the server's strategies?

    python benchmarks/poisoning.py --out poisoning [--seeds 0,1,2]

Fifteen participants on digits; three of them send, instead of their trained Global-LiGO, its change with the sign turned
(`flip`), ten times its change (`scale`), or a random change ten times as long as theirs (`noise`). Figures are those of the
twelve honest ones on their own held-out data: their mean accuracy under a strategy, and what an attack takes off it. One
line a run in ``runs.jsonl``; the same command goes on where it was stopped, and ends with the table.

Last result: none kept yet.
"""

import argparse
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context, Message

from fedgrow.config.load import load_plan
from fedgrow.config.plan import Plan
from fedgrow.exchange.contract import ARRAYS, GROW
from fedgrow.exchange.records import from_record, to_record
from fedgrow.federated.carry_out import carry_out
from fedgrow.federated.client_app import app as client_app
from fedgrow.federated.local_grid import FIRST_NODE, run_local
from fedgrow.federated.resolve import resolve
from fedgrow.federated.server_app import app as server_app
from fedgrow.federated.simulate import forget
from fedgrow.markdown import table
from fedgrow.runs.folder import RunFolder

PEOPLE, MALICIOUS = 15, 3  # the last ones
STRATEGIES: dict[str, dict[str, float | int]] = {
    "FedAvg": {},
    "FedMedian": {},
    "FedTrimmedAvg": {"beta": 0.2},
    "MultiKrum": {"num_malicious_nodes": 3, "num_nodes_to_select": 12},
    "Krum": {"num_malicious_nodes": 3},
    "Bulyan": {"num_malicious_nodes": 3},
}
Attack = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # what a change becomes
ATTACKS: dict[str, Attack | None] = {
    "none": None,
    "flip": lambda change, _: -change,
    "scale": lambda change, _: 10 * change,
    "noise": lambda change, draw: 10 * _as_long(draw.standard_normal(change.shape), change),
}


def _as_long(x: np.ndarray, change: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x)
    return x * (np.linalg.norm(change) / length if length else 0.0)


class Poisoned:
    """The participants' app, of which the last ones poison what they send.

    Args:
        attack: what their changes become.
        seed: of what is drawn.
    """

    def __init__(self, attack: Attack, seed: int) -> None:
        self.attack, self.draw = attack, np.random.default_rng(seed)

    def __call__(self, message: Message, context: Context) -> Message:
        reply = client_app(message, context)
        index = int(context.node_id) - FIRST_NODE
        if index >= PEOPLE - MALICIOUS and message.metadata.message_type == GROW and ARRAYS in reply.content:
            held = from_record(message.content.array_records[ARRAYS])
            sent = from_record(reply.content.array_records[ARRAYS])
            for name, array in sent.items():
                start = held[name].numpy()
                poisoned = start + self.attack(array.numpy() - start, self.draw)
                sent[name] = held[name].new_tensor(poisoned)
            reply.content[ARRAYS] = to_record(sent)
        return reply


def plan_of(strategy: str, seed: int, settings: list[str]) -> Plan:
    plan = load_plan("digits", [f"seed={seed}", "baselines=[]", *settings])
    shapes = [entry.model for entry in plan.participants]
    people = [{"name": f"p{i:02d}", "model": shapes[i % len(shapes)]} for i in range(PEOPLE)]
    raw = plan.model_dump(mode="json") | {
        "participants": [p | {"model": p["model"].model_dump(mode="json")} for p in people],  # type: ignore[union-attr]
        "strategy": {"name": strategy, "options": STRATEGIES[strategy]},
    }
    return resolve(Plan.model_validate(raw))


def one_run(strategy: str, attack: str, seed: int, settings: list[str], folder: Path) -> dict[str, Any]:
    """Carry out one run and return the honest participants' accuracy."""
    forget()
    shutil.rmtree(folder, ignore_errors=True)
    run = RunFolder.create(folder, plan_of(strategy, seed, settings), "local")
    run.note(models=False)
    ready = folder.parent / f"ready-{seed}"  # small models are the same in all runs of a seed
    if ready.is_dir():
        shutil.copytree(ready, folder / "participants")
    if (poison := ATTACKS[attack]) is not None:
        config: dict[str, str | int] = {"run": str(run.path), "method": "dual-ligo"}
        run_local(server_app, Poisoned(poison, seed), PEOPLE, config)  # type: ignore[arg-type]
    outcome = carry_out(run, "dual-ligo")
    if not ready.is_dir():
        for name in run.plan.names:
            small = run.participant(name) / "private" / "small"
            shutil.copytree(small, ready / name / "private" / "small")
    honest = [outcome.participants[name] for name in run.plan.names[: PEOPLE - MALICIOUS]]
    values = [ended.metrics["accuracy"] for ended in honest]
    shutil.rmtree(folder)
    return {
        "strategy": strategy, "attack": attack, "seed": seed,
        "mean": statistics.fmean(values), "worst": min(values),
        "curve": [statistics.fmean(e.curve[i]["accuracy"] for e in honest) for i in range(len(honest[0].curve))],
    }  # fmt: skip


def report(runs: list[dict[str, Any]]) -> list[str]:
    """Return the table: the mean without an attack, and what each attack takes off it."""
    rows = [["strategy", "seeds", "no attack", *(f"{a}: points lost (each seed)" for a in list(ATTACKS)[1:])]]
    means = {(r["strategy"], r["attack"], r["seed"]): r["mean"] for r in runs}
    for strategy in STRATEGIES:
        seeds = sorted(seed for s, a, seed in means if s == strategy and a == "none")
        if not seeds:
            continue
        clean = {seed: means[strategy, "none", seed] for seed in seeds}
        cells = [strategy, str(len(seeds)), f"{statistics.fmean(clean.values()):.3f}"]
        for attack in list(ATTACKS)[1:]:
            lost = [
                100 * (clean[s] - means[strategy, attack, s]) for s in seeds if (strategy, attack, s) in means
            ]
            each = ", ".join(f"{x:.1f}" for x in lost)
            cells.append(f"**{statistics.fmean(lost):.1f}** ({each})" if lost else "")
        rows.append(cells)
    return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "runs.jsonl"
    runs = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    known = {(r["strategy"], r["attack"], r["seed"]) for r in runs}
    for seed in map(int, args.seeds.split(",")):
        for strategy in args.strategies.split(","):
            for attack in ATTACKS:
                if (strategy, attack, seed) in known:
                    continue
                run = one_run(strategy, attack, seed, args.set, args.out.resolve() / "run")
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(run) + "\n")
                runs.append(run)
                print(f"{strategy} {attack} {seed}: {run['mean']:.3f}", flush=True)
    print("\n".join(report(runs)))


if __name__ == "__main__":
    main()
