"""What does growth cost, and where does it start, beside the public code people would otherwise run?

Question: against LiGO's own code (github.com/VITA-Group/LiGO: BERT, masked-language modelling) and the Fed-Grow
authors' (github.com/Phoenix-Shen/LiGOFwlr: BERT, sequence classification; ViT), at equal shapes: (1) the time of one
growth-training step (forward, backward, clipping, optimizer; medians of interleaved steps, every contender in a
process of its own; wall and CPU seconds: on a busy machine believe the second, with OMP_NUM_THREADS=1) and its peak
memory (a fresh process, above the imports); (2) how far the grown model's logits are from the small model's before
any training, for every initialisation that they offer and for ours.

Their code runs as it is, from folders that the reader checks out; nothing of it is here. public_code_workers/ has the
drivers; the results file says what they do around it.

Command:  python benchmarks/public_code.py --ligo DIR --ligofwlr DIR [--ligo-python EXE] [--ligofwlr-python EXE]
          [--small FOLDER of a BERT with its masked-LM head] [--parts time,memory,parity] [--repeats 5] [--json FILE]
Last result: benchmarks/results/public_code.md
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORKER = Path(__file__).parent / "public_code_workers" / "worker.py"
LENGTH = 128
CASES = {
    "ligo": {
        "head": "masked-language-modelling",
        "small": {"layers": 3, "width": 256, "heads": 4, "ffn": 1024},
        "large": {"layers": 6, "width": 512, "heads": 8, "ffn": 2048},
    },
    # LiGOFwlr grows feed-forward layers as wide as the stream only; 8 heads as in its configurations.
    "ligofwlr": {
        "head": "sequence-classification",
        "small": {"layers": 3, "width": 256, "heads": 8, "ffn": 256},
        "large": {"layers": 6, "width": 512, "heads": 8, "ffn": 512},
    },
}
OURS = {
    "ours low-rank": {"operator": {"kind": "low-rank", "rank": 8}, "two": False},
    "ours partial": {"operator": {"kind": "partial"}, "two": False},
    "ours dense": {"operator": {"kind": "dense"}, "two": False},
    "ours low-rank, Dual-LiGO": {"operator": {"kind": "low-rank", "rank": 8}, "two": True},
    "ours dense, Dual-LiGO": {"operator": {"kind": "dense"}, "two": True},
}
REFERENCES = ("ours low-rank", "ours dense")  # our default, and the kind that LiGO publishes
AT_ONCE = 2  # contenders beside the references that are alive together: memory is the limit
DEPTHS = ("stackbert", "stackbert_noisy", "interlace", "interlace_noisy", "rand", "rand_softmax")
WIDTHS = ("sel", "sel_noisy", "rand", "rand_softmax")
VIT_STARTS = {"depths": (*DEPTHS, "constant"), "widths": (*WIDTHS, "xavier_normal")}
Row = dict[str, Any]


class Worker:
    """The parent's end of a worker."""

    def __init__(self, python: str, spec: Row) -> None:
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, str(WORKER), json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
        )

    def answer(self) -> Any:
        """Return what the worker says next; if it ended instead, raise with the end of its log."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"a worker ended with {self.process.wait()}: {self.errors.read()[-3000:]}")
        return json.loads(line)

    def ask(self, command: str) -> Any:
        """Say a word (step, memory) and return the answer."""
        assert self.process.stdin is not None
        print(command, file=self.process.stdin, flush=True)
        return self.answer()

    def close(self) -> None:
        """End the worker: no more words."""
        self.process.communicate()
        self.errors.close()


def once(python: str, spec: Row) -> Any:
    worker = Worker(python, spec)
    try:
        return worker.answer()
    finally:
        worker.close()


# --- time and memory


def contenders(case: str, args: argparse.Namespace, spec: Row) -> dict[str, Callable[[], Worker]]:
    """Return who takes part in a case, each as a function that starts its process."""
    specs = {
        case: {**spec, "who": case, "folder": getattr(args, case)},
        "plain large model": {**spec, "who": "plain"},
        **{name: {**spec, **settings, "who": "ours"} for name, settings in OURS.items()},
    }
    pythons = {case: getattr(args, f"{case}_python")}
    return {n: lambda n=n, s=s: Worker(pythons.get(n, sys.executable), s) for n, s in specs.items()}


def times(start: dict[str, Callable[[], Worker]], repeats: int) -> tuple[Row, dict[str, list[list[float]]]]:
    """Return what every contender says of itself, and its wall and CPU seconds; one step of each in turn."""
    workers = {name: make() for name, make in start.items()}
    said = {name: worker.answer() for name, worker in workers.items()}
    seconds: dict[str, list[list[float]]] = {name: [] for name in workers}
    for _ in range(repeats + 1):
        for name, worker in workers.items():
            seconds[name].append(worker.ask("step"))
    for worker in workers.values():
        worker.close()
    return said, {name: s[1:] for name, s in seconds.items()}  # the first step warms up


def peak(start: Callable[[], Worker]) -> float:
    worker = start()
    worker.answer()
    for _ in range(2):
        worker.ask("step")
    memory = worker.ask("memory")
    worker.close()
    return float(memory)


def ratio(one: list[list[float]], other: list[list[float]], clock: int) -> float:
    return statistics.median(a[clock] / b[clock] for a, b in zip(one, other, strict=True))


def cost_rows(case: str, args: argparse.Namespace, spec: Row) -> list[Row]:
    start = contenders(case, args, spec)
    rows: dict[str, Row] = {n: {"case": case, "batch": spec["batch"], "contender": n} for n in start}
    others = [name for name in start if name not in REFERENCES]
    for i in range(0, len(others), AT_ONCE) if "time" in args.parts else ():
        group = (*others[i : i + AT_ONCE], *REFERENCES)
        said, seconds = times({name: start[name] for name in group}, args.repeats)
        for name in (n for n in group if "wall" not in rows[n]):
            row = rows[name]
            row |= said[name]
            row["all_seconds"] = seconds[name]
            for clock, key in enumerate(("wall", "cpu")):
                row[key] = statistics.median(s[clock] for s in seconds[name])
                row[f"{key}_ratio"] = {r: ratio(seconds[name], seconds[r], clock) for r in REFERENCES}
    if "memory" in args.parts:
        for name, row in rows.items():
            row["megabytes"] = peak(start[name])
    return list(rows.values())


def show_cost(rows: list[Row]) -> None:
    ratios = [f"{key} / {r}" for r in REFERENCES for key in ("wall", "CPU")]
    head = ["contender", "wall s", "CPU s", *ratios, "peak MiB", "numbers trained"]
    print("\n| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for row in rows:
        cells = [row["contender"], *(f"{row[key]:.2f}" if key in row else "" for key in ("wall", "cpu"))]
        for r in REFERENCES:
            cells += [f"{row[k][r]:.2f}x" if k in row else "" for k in ("wall_ratio", "cpu_ratio")]
        cells.append(f"{row['megabytes']:.0f}" if "megabytes" in row else "")
        cells.append(f"{row['trained']:,}" if "trained" in row else "")
        print("| " + " | ".join(cells) + " |")
    for line in sorted({f"{r['versions']}, threads {r['threads']}" for r in rows if "versions" in r}):
        print(f"\n{line}", flush=True)


def cost(case: str, args: argparse.Namespace, spec: Row) -> list[Row]:
    rows = []
    for batch in args.batches:
        print(f"\n## {case}, {batch} x {LENGTH} tokens: {spec['small']} -> {spec['large']}")
        rows += cost_rows(case, args, {**spec, "batch": batch})
        show_cost(rows[-len(OURS) - 2 :])
    return rows


# --- parity


def spread(found: list[Row], *, same: bool) -> str:
    """Return the median over the seeds of the relative difference, and of how often both choose the same class."""
    chosen = f" ({statistics.median(f['same'] for f in found):.0%})" if same else ""
    return f"{statistics.median(f['relative'] for f in found):.2g}{chosen}"


def show_grid(rows: list[Row], *, same: bool) -> None:
    depths, widths = (list(dict.fromkeys(row[axis] for row in rows)) for axis in ("depth", "width"))
    print("\n| depth \\ width | " + " | ".join(widths) + " |\n|---" + "|---" * len(widths) + "|")
    for depth in depths:
        found = [[r for r in rows if (r["depth"], r["width"]) == (depth, width)] for width in widths]
        print(f"| {depth} | " + " | ".join(spread(f, same=same) for f in found) + " |")


def show_ours(rows: list[Row], *, same: bool) -> None:
    print("\n| ours | dtype | relative difference | declared |\n|---|---|---|---|")
    for row in rows:
        chosen = f" ({row['same']:.0%})" if same else ""
        cells = (f"{row['kind']}, {row['start']}", row["dtype"], f"{row['relative']:.1e}{chosen}")
        print("| " + " | ".join((*cells, row["declared"])) + " |", flush=True)


def targets(spec: Row) -> dict[str, dict[str, int]]:
    """Return what the small model is grown into: both directions, each alone, and none."""
    small, large = spec["small"], spec["large"]
    return {
        "width and depth": large,
        "width": {**large, "layers": small["layers"]},
        "depth": {**small, "layers": large["layers"]},
        "nothing (control)": small,
    }


def ligo_parity(args: argparse.Namespace, spec: Row, title: str) -> list[Row]:
    rows = []
    for direction, large in targets(spec).items():
        wider, deeper = (large[axis] > spec["small"][axis] for axis in ("width", "layers"))
        asked = {"depths": DEPTHS if deeper else DEPTHS[:1], "widths": WIDTHS if wider else WIDTHS[:1]}
        asked |= {**spec, "large": large, "folder": args.ligo}
        print(f"\n## LiGO, {title}, growing {direction}: {spec['small']} -> {large}")
        theirs = once(args.ligo_python, {**asked, "who": "ligo parity"})
        ours = once(sys.executable, {**asked, "who": "ours parity"})
        show_grid(theirs, same=True)
        show_ours(ours, same=True)
        rows += tagged(f"{title}, {direction}", theirs, ours)
    return rows


def fwlr_parity(args: argparse.Namespace, spec: Row) -> list[Row]:
    rows = []
    spec = {**spec, "folder": args.ligofwlr}
    vit = {**spec, **VIT_STARTS, "family": "vit"}
    for name, who, asked in (
        ("BERT", "ligofwlr parity", spec),
        ("ViT", "ligofwlr vit parity", vit),
    ):
        print(f"\n## LiGOFwlr, {name}: {spec['small']} -> {spec['large']}")
        theirs = once(args.ligofwlr_python, {**asked, "who": who})
        ours = once(sys.executable, {**asked, "who": "ours parity"})
        for row in theirs:
            row.setdefault("depth", row.get("start"))
            row.setdefault("width", row.get("start"))
        is_control = [row["depth"] == "control" for row in theirs]
        show_grid([r for r, c in zip(theirs, is_control, strict=True) if not c], same=False)
        print(f"\ncontrol: {spread([r for r, c in zip(theirs, is_control, strict=True) if c], same=False)}")
        show_ours(ours, same=False)
        rows += tagged(f"LiGOFwlr {name}", theirs, ours)
    return rows


def tagged(title: str, theirs: list[Row], ours: list[Row]) -> list[Row]:
    return [
        {"case": title, "whose": w, **r} for w, rows in (("theirs", theirs), ("ours", ours)) for r in rows
    ]


# --- all of it


def exported(spec: Row, folder: str) -> Row:
    """Return the settings with a file that holds the small model's tensors, and with what its logits should be."""
    spec = {**spec, "tensors": str(Path(folder) / f"{time.monotonic_ns()}.safetensors")}
    return spec | once(sys.executable, {**spec, "who": "export"})


def real_case(folder: str) -> Row:
    """Return the parity case of a real BERT: into twice its layers, width, heads and feed-forward width."""
    config = json.loads((Path(folder) / "config.json").read_text("utf-8"))
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")
    small = dict(zip(("layers", "width", "heads", "ffn"), (config[n] for n in names), strict=True))
    return {**CASES["ligo"], "small": small, "large": {k: 2 * v for k, v in small.items()}, "real": folder}


def run(args: argparse.Namespace, folder: str) -> dict[str, list[Row]]:
    costs, parity = [], []
    for case in (c for c in CASES if getattr(args, c)):
        spec = exported(CASES[case], folder)
        if {"time", "memory"} & set(args.parts):
            costs += cost(case, args, spec)
        if "parity" in args.parts:
            parity += ligo_parity(args, spec, "random") if case == "ligo" else fwlr_parity(args, spec)
    if "parity" in args.parts and args.small and args.ligo:
        parity += ligo_parity(args, exported(real_case(args.small), folder), Path(args.small).name)
    return {"cost": costs, "parity": parity}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ligo", help="folder of VITA-Group/LiGO, checked out")
    parser.add_argument("--ligofwlr", help="folder of Phoenix-Shen/LiGOFwlr, checked out")
    parser.add_argument("--ligo-python", default=sys.executable, help="interpreter with its dependencies")
    parser.add_argument("--ligofwlr-python", default=sys.executable, help="interpreter with its dependencies")
    parser.add_argument("--small", help="folder of a real BERT with its masked-LM head, for parity")
    parser.add_argument("--parts", default="time,memory,parity", type=lambda s: s.split(","))
    parser.add_argument("--batches", default="8,32", type=lambda s: [int(b) for b in s.split(",")])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", help="write all rows to a file too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = run(args, folder)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
