"""What does a growth-training step cost beside a plain training step of the same large model?

Question: forward, backward and AdamW through grown weights, the operator trained, against the same three of the plain
large BERT (384x3 -> 768x6), same batch, same process, vocabulary 30,522 in both; one thread; time (median of the
ratios of interleaved pairs), arithmetic (torch's FLOP counter) and peak memory (each in a process of its own, above the
imports). First with one operator (LiGO), then with two (Dual-LiGO: Local-LiGO and Global-LiGO both trained).

Command:  python benchmarks/step_cost.py [--tokens 4096,512] [--repeats 9] [--kinds low-rank,partial,tied,dense]
          [--intermediates none,384x3,512x4,768x3] [--json FILE]
Last result: benchmarks/results/step_cost.md
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import BertConfig

from fedgrow.architectures import Shape, read
from fedgrow.architectures.models import new_model
from fedgrow.config.plan import OperatorPlan, TrainingPlan
from fedgrow.learners import Learner, Ligo, WholeModel
from fedgrow.learners.ligo import Step, make_operator
from fedgrow.training.flops import counted

VOCABULARY, LENGTH, HEAD = 30_522, 128, "sequence-classification"
LARGE = {"layers": 6, "width": 768, "heads": 12, "ffn": 3072}
SMALL = {"layers": 3, "width": 384, "heads": 6, "ffn": 1536}
INTERMEDIATES: dict[str, list[dict[str, int]]] = {
    "none": [],
    "384x3": [SMALL],
    "512x4": [{"layers": 4, "width": 512, "heads": 8, "ffn": 2048}],
    "768x3": [{"layers": 3, "width": 768, "heads": 12, "ffn": 3072}],
}


def model(shape: dict[str, int]) -> torch.nn.Module:
    config = BertConfig(
        vocab_size=VOCABULARY,
        num_hidden_layers=shape["layers"],
        hidden_size=shape["width"],
        num_attention_heads=shape["heads"],
        intermediate_size=shape["ffn"],
    )
    return new_model(config, HEAD, seed=0)


def learner(kind: str, intermediate: str, tokens: int) -> Learner:
    """Make a learner: ``plain`` for the large model itself, else one operator, or two with an intermediate shape."""
    if kind == "plain":
        return WholeModel(model(LARGE), 1e-5)
    small, plan = model(SMALL), OperatorPlan(kind=kind)
    reading = read(small)
    shapes = [reading.shape, *map(Shape.model_validate, [*INTERMEDIATES[intermediate], LARGE])]
    operators = [
        make_operator(plan, reading.family, source, target, seed)
        for seed, (source, target) in enumerate(pairwise(shapes))
    ]
    steps = [Step(operator, prefix="local/") for operator in operators[:-1]] + [Step(operators[-1])]
    return Ligo(small, steps, TrainingPlan(), tokens=tokens)


def make_step(kind: str, intermediate: str, tokens: int) -> tuple[Callable[[], None], int]:
    """Return a function that does one step, and how many numbers it trains."""
    it = learner(kind, intermediate, tokens)
    shared, private = it.shared_start(), it.private_start()
    state = {n: t.clone() for n, t in {**shared, **private}.items()}
    trained = [state[n].requires_grad_() for g in it.groups("joint") for n in g.names]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, VOCABULARY, (tokens // LENGTH, LENGTH), generator=generator)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    targets = torch.randint(0, 2, (len(ids),), generator=generator)

    def step() -> None:
        weights = it.weights({n: state[n] for n in shared}, {n: state[n] for n in private})
        loss = torch.nn.functional.cross_entropy(it.logits(weights, inputs, training=True), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step, sum(t.numel() for t in trained)


def seconds(step: Callable[[], None]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def high_water() -> float:
    """Return this process's peak resident memory in MiB (Linux; ru_maxrss would count the parent's before exec)."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def _peak(kind: str, intermediate: str, tokens: int, result: Any) -> None:
    torch.set_num_threads(1)
    base = high_water()
    step, _ = make_step(kind, intermediate, tokens)
    for _ in range(2):
        step()
    result.put(high_water() - base)


def peak_megabytes(kind: str, intermediate: str, tokens: int) -> float:
    """Return peak resident memory of two steps, above what the imports take, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    process = context.Process(target=_peak, args=(kind, intermediate, tokens, result))
    process.start()
    value = result.get()
    process.join()
    return float(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", default="4096,512", help="tokens a step, with commas")
    parser.add_argument("--kinds", default="low-rank,partial,tied,dense")
    parser.add_argument(
        "--intermediates", default="none,512x4", help=f"of {', '.join(INTERMEDIATES)}; none: one operator"
    )
    parser.add_argument("--repeats", type=int, default=9, help="interleaved pairs")
    parser.add_argument("--json", default=None, help="write the rows to a file too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print(f"1 thread, torch {torch.__version__}, transformers {transformers.__version__}")
    print(f"small {SMALL} -> large {LARGE}\n")
    print(
        "| tokens | operator | intermediate | time | arithmetic | peak memory | plain step | numbers trained |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for tokens in map(int, args.tokens.split(",")):
        plain, _ = make_step("plain", "none", tokens)
        plain_flops, plain_peak = counted(plain), peak_megabytes("plain", "none", tokens)
        for intermediate in args.intermediates.split(","):
            for kind in args.kinds.split(","):
                step, trained = make_step(kind, intermediate, tokens)
                row = {
                    "tokens": tokens,
                    "operator": kind,
                    "intermediate": intermediate,
                    "arithmetic": counted(step) / plain_flops,
                    "trained": trained,
                }
                pairs = [(seconds(plain), seconds(step)) for _ in range(args.repeats)]
                del step
                row["time"] = statistics.median(grown / base for base, grown in pairs)
                row["plain_seconds"] = statistics.median(base for base, _ in pairs)
                row["memory"] = peak_megabytes(kind, intermediate, tokens) / plain_peak
                print(
                    f"| {tokens} | {kind} | {intermediate} | {row['time']:.2f}x | {row['arithmetic']:.2f}x "
                    f"| {row['memory']:.2f}x | {row['plain_seconds']:.2f} s | {trained:,} |",
                    flush=True,
                )
                rows.append(row)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
