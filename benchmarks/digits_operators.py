"""Which operator, rate and rank serve the demo best?

Question: mean accuracy over participants of the shipped plan `digits`, grown together, for each operator and setting.
Development seeds only (the demo's own seed 0 is not among them).

Command:  python benchmarks/digits_operators.py [--seeds 101,102,103] [--only "NAME;..."] [--jobs 2]
Last results: benchmarks/results/digits_operators.md, demo.md (there with the demo's own seeds)
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

VARIANTS = {
    "low-rank 8": ["operator={kind: low-rank, rank: 8}", "local_operator={kind: low-rank, rank: 8}"],
    "low-rank 8, rate / 3": [
        "operator={kind: low-rank, rank: 8, learning_rate: 0.0007}",
        "local_operator={kind: low-rank, rank: 8, learning_rate: 0.001}",
    ],
    "low-rank 16": ["operator={kind: low-rank, rank: 16}", "local_operator={kind: low-rank, rank: 16}"],
    "low-rank 8, tied local": ["operator={kind: low-rank, rank: 8}", "local_operator={kind: tied}"],
    "tied": ["operator={kind: tied}", "local_operator={kind: tied}"],
    "tied, rate x 3": [
        "operator={kind: tied, learning_rate: 0.001}",
        "local_operator={kind: tied, learning_rate: 0.0015}",
    ],
    "dense": ["operator={kind: dense}", "local_operator={kind: dense}"],
    "dense, as published (xavier)": [
        "operator={kind: dense, start: xavier}",
        "local_operator={kind: dense, start: xavier}",
    ],
    "low-rank 8, two-phase": [
        "operator={kind: low-rank, rank: 8}",
        "local_operator={kind: low-rank, rank: 8}",
        "schedule.kind=two-phase",
        "schedule.local_steps=40",
    ],
    "low-rank 8, small weights too": [
        "operator={kind: low-rank, rank: 8}",
        "local_operator={kind: low-rank, rank: 8}",
        "training.train_small=true",
        "training.small_learning_rate=0.0005",
    ],
}
RUN = """
import json, sys
from pathlib import Path
from fedgrow.config.load import load_plan
from fedgrow.federated.simulate import simulate
s = simulate(load_plan("digits", sys.argv[2:]), Path(sys.argv[1]))
print(json.dumps([s["small"]["metrics_mean"]["accuracy"], s["grown"]["metrics_mean"]["accuracy"],
                  s["grown"]["metrics_min"]["accuracy"],
                  *(b["metrics_mean"]["accuracy"] for b in s["baselines"].values())]))
"""


def run(settings: list[str], seed: int, baselines: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-c",
            RUN,
            f"{folder}/run",
            *settings,
            f"seed={seed}",
            f"baselines={baselines}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    values: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return values


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="101,102,103")
    parser.add_argument("--only", default=";".join(VARIANTS), help="names of variants, with semicolons")
    parser.add_argument("--baselines", default="", help="with commas; run beside every variant")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    seeds = [int(s) for s in args.seeds.split(",")]
    extra = [b for b in args.baselines.split(",") if b]
    print(
        f"| operator | small | grown (mean over seeds {args.seeds}) | by seed | worst participant |"
        + "".join(f" {b} |" for b in extra)
    )
    print("|---" * (5 + len(extra)) + "|")
    with ThreadPoolExecutor(args.jobs) as pool:
        names = args.only.split(";")
        jobs = {n: [pool.submit(run, VARIANTS[n], s, str(extra)) for s in seeds] for n in names}
        for name, futures in jobs.items():
            rows = [f.result() for f in futures]
            mean = [statistics.mean(column) for column in zip(*rows, strict=True)]
            print(
                f"| {name} | {mean[0]:.3f} | {mean[1]:.3f} | {', '.join(f'{r[1]:.3f}' for r in rows)} | {mean[2]:.3f} |"
                + "".join(f" {v:.3f} |" for v in mean[3:]),
                flush=True,
            )


if __name__ == "__main__":
    main()
