"""Does a federation of a thousand participants cost more than their training, and does the server's memory stay flat?

    python benchmarks/scale.py [--participants 10,1000] [--engine local,ray] [--json FILE]

Three rounds of tiny ViTs on small images drawn here. Every run is a process of its own. `training` is the time inside the
participants' own training and evaluation, `above it` all the rest of the run: messages, contracts, checkpoints, aggregation,
loading and keeping what is private. Memory is the process's peak (local engine: the server's and all participants'; Ray: the
server's alone).

Last result: none kept yet.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fedgrow.config.load import parse_plan
from fedgrow.federated.carry_out import carry_out
from fedgrow.federated.resolve import resolve
from fedgrow.markdown import table
from fedgrow.participants import participant
from fedgrow.runs.folder import RunFolder

EACH = 24  # examples a participant
PLAN = """
name: scale
task: image-classification
family: vit
data: {source: "SOURCE", test_fraction: 0.33}
partition: {kind: iid, min_examples: 8}
model_settings: {patch_size: 4}
prepare: {steps: 0}
intermediate: {layers: 2, width: 24, heads: 3, ffn: 48}
large: {layers: 3, width: 32, heads: 4, ffn: 64}
operator: {kind: low-rank, rank: 2}
local_operator: {kind: fixed}
schedule: {rounds: 3, steps: STEPS, evaluation: along}
training: {batch_size: 16}
participants: PEOPLE
"""


def write_data(file: Path, people: int) -> None:
    """Draw ten kinds of images, each a pattern with noise."""
    draw = np.random.default_rng(0)
    patterns = draw.integers(0, 256, (10, 8, 8))
    labels = draw.integers(0, 10, people * EACH)
    images = patterns[labels] // 2 + draw.integers(0, 128, (len(labels), 8, 8))
    np.savez(file, image=images.astype(np.uint8), label=labels)


def run(people: int, engine: str, steps: int) -> dict[str, Any]:
    """Carry out the federation in this process."""
    spent = {"training": 0.0}

    def timed(inner: Any) -> Any:
        def outer(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                spent["training"] += time.perf_counter() - began

        return outer

    participant.fit, participant.evaluate = timed(participant.fit), timed(participant.evaluate)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "data.npz", people)
        shapes = ["{layers: 1, width: 16, heads: 2, ffn: 32}", "{layers: 2, width: 16, heads: 2, ffn: 48}"]
        entries = [f"{{name: p{i:04d}, model: {shapes[i % 2]}}}" for i in range(people)]
        text = PLAN.replace("SOURCE", str(folder / "data.npz")).replace("STEPS", str(steps))
        plan = resolve(parse_plan(text.replace("PEOPLE", f"[{', '.join(entries)}]"), "scale", folder))
        made = RunFolder.create(folder / "run", plan, engine)
        made.note(models=False)
        began = time.perf_counter()
        carry_out(made, "dual-ligo", engine)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"people": people, "engine": engine, "seconds": seconds, **spent, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--participants", default="10,1000")
    parser.add_argument("--engine", default="local")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [["engine", "participants", "run, s", "training, s", "above it", "peak memory, MB"]]
    found = []
    for engine in args.engine.split(","):
        for people in map(int, args.participants.split(",")):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                one = pool.apply(run, (people, engine, args.steps))
            found.append(one)
            above = f"{100 * (one['seconds'] / one['training'] - 1):.0f}%" if engine == "local" else ""
            training = f"{one['training']:.1f}" if engine == "local" else ""
            cells = [
                engine,
                str(people),
                f"{one['seconds']:.1f}",
                training,
                above,
                f"{one['peak'] / 1e6:.0f}",
            ]
            rows.append(cells)
            print("\n".join(table(rows)), flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), "utf-8")


if __name__ == "__main__":
    main()
