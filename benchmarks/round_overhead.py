"""What does a phase of a round cost between real processes on loopback, above the training itself?

    python benchmarks/round_overhead.py [--rounds 6]

A coordinator and three sites with models so small that two steps take some hundredths of a second: what a phase takes, from
the first message asked to the last answer, is then what SuperLink, SuperNodes, TLS, contract, ledger and checkpoints take.
The first round is left out (models and libraries are loaded in it). Twice: evaluation in a phase of its own, and along.

Last result: benchmarks/results/round_overhead.md
"""

import argparse
import json
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.sites.making import SHAPES, write_all
from tests.sites.processes import Processes

from fedgrow.markdown import table
from fedgrow.sites.children import free_port


def phases(evaluation: str, rounds: int) -> list[tuple[str, float]]:
    """Run a federation; return the phases after the first round, each with its seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        schedule = {"kind": "joint", "rounds": rounds, "steps": 2, "evaluation": evaluation}
        write_all(folder, f"127.0.0.1:{port}", folder / "ca.crt", schedule=schedule)
        processes = Processes(folder)
        processes.prepare(port)
        try:
            processes.start("server", "server", "--resume", "--out", "coordinator")
            for site in SHAPES:
                processes.start(site, "join", f"{site}.yaml", "--yes")
            for site in ("server", *SHAPES):
                if processes.wait(site):
                    raise SystemExit((folder / f"{site}.log").read_text("utf-8"))
        finally:
            processes.end()
        lines = (folder / "coordinator/events.jsonl").read_text("utf-8").splitlines()
    found: list[tuple[str, float]] = []
    step, began, last, first_over = "", 0.0, 0.0, False
    for event in map(json.loads, lines):
        now = datetime.fromisoformat(event["time"]).timestamp()
        if event["event"] == "answered":
            last = now
        if event["event"] in ("asked", "round", "saved") and step:
            if first_over and step.endswith("grow"):
                found.append((step, last - began))
            step = ""
        if event["event"] == "asked":
            step, began = event["step"], now
        first_over |= event["event"] == "round" and event["round"] >= 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6)
    args = parser.parse_args()
    rows = [["evaluation", "phase", "phases", "median, s", "most, s"]]
    for evaluation in ("apart", "along"):
        found = phases(evaluation, args.rounds)
        for kind in sorted({step for step, _ in found}):
            seconds = [s for step, s in found if step == kind]
            cells = [evaluation, kind, str(len(seconds))]
            rows.append([*cells, f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}"])
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
