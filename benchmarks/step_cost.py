"""What does a growth-training step cost beside a plain training step of the same large model?

Question: forward, backward and AdamW through grown weights (Local-LiGO and Global-LiGO both trained) against the same
three of the plain large BERT, same batch, same process, vocabulary 30,522 in both; time (median of interleaved pairs),
arithmetic (torch's FLOP counter) and peak memory (each in a process of its own, above the imports).

Command:  python benchmarks/step_cost.py [--tokens 4096] [--repeats 5] [--kinds tied,low-rank,dense] [--json FILE]
Last result: benchmarks/results/step_cost.md
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig

from fedgrow.architectures.models import new_model
from fedgrow.config.plan import Plan
from fedgrow.methods import DualLigo, Learner, WholeModel

VOCABULARY, LENGTH, HEAD = 30_522, 128, "sequence-classification"
LARGE = {"layers": 6, "width": 768, "heads": 12, "ffn": 3072}
SMALL = {"layers": 3, "width": 384, "heads": 6, "ffn": 1536}
INTERMEDIATES = {
    "384x3": SMALL,
    "512x4": {"layers": 4, "width": 512, "heads": 8, "ffn": 2048},
    "768x3": {"layers": 3, "width": 768, "heads": 12, "ffn": 3072},
}
RANKS = {"low-rank": 8}


def model(shape: dict[str, int]) -> torch.nn.Module:
    config = BertConfig(
        vocab_size=VOCABULARY,
        num_hidden_layers=shape["layers"],
        hidden_size=shape["width"],
        num_attention_heads=shape["heads"],
        intermediate_size=shape["ffn"],
    )
    return new_model(config, HEAD, seed=0)


def learner(kind: str, intermediate: str) -> Learner:
    if kind == "plain":
        return WholeModel(model(LARGE), 1e-5)
    operator = {"kind": kind, **({"rank": RANKS[kind]} if kind in RANKS else {})}
    plan = Plan(
        task=HEAD,
        family="bert",
        large=LARGE,
        intermediate=INTERMEDIATES[intermediate],
        operator=operator,
        local_operator=operator,
        participants=({"name": "one", "model": SMALL, "data": {"source": "none"}},),
    )
    return DualLigo(model(SMALL), plan)


def make_step(kind: str, intermediate: str, tokens: int) -> tuple[Callable[[], None], int]:
    """Return a function that does one step, and how many numbers it trains."""
    it = learner(kind, intermediate)
    shared, private = it.shared_start(), it.private_start()
    state = {n: t.clone() for n, t in {**shared, **private}.items()}
    groups = it.groups("joint")
    trained = [state[n].requires_grad_() for g in groups for n in g.names]
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


def flops(step: Callable[[], None]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def high_water() -> float:
    """Return this process's peak resident memory in MiB (Linux; ru_maxrss would count the parent's before exec)."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def _peak(kind: str, intermediate: str, tokens: int, result: Any) -> None:
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
    parser.add_argument("--kinds", default="tied,low-rank,dense")
    parser.add_argument("--intermediates", default=",".join(INTERMEDIATES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", default=None, help="write the rows to a file too")
    args = parser.parse_args()
    rows = []
    print(f"threads {torch.get_num_threads()}, torch {torch.__version__}, small {SMALL} -> large {LARGE}")
    print(
        "| tokens | operator | intermediate | time | arithmetic | peak memory | numbers trained |\n"
        "|---|---|---|---|---|---|---|"
    )
    for tokens in map(int, args.tokens.split(",")):
        plain, _ = make_step("plain", "384x3", tokens)
        plain_flops, plain_peak = flops(plain), peak_megabytes("plain", "384x3", tokens)
        for kind in args.kinds.split(","):
            for intermediate in args.intermediates.split(","):
                step, trained = make_step(kind, intermediate, tokens)
                arithmetic = flops(step) / plain_flops
                pairs = [(seconds(plain), seconds(step)) for _ in range(args.repeats)]
                ratio = statistics.median(grown / base for base, grown in pairs)
                memory = peak_megabytes(kind, intermediate, tokens) / plain_peak
                print(
                    f"| {tokens} | {kind} | {intermediate} | {ratio:.2f}x | {arithmetic:.2f}x | {memory:.2f}x "
                    f"| {trained:,} |",
                    flush=True,
                )
                rows.append(
                    {
                        "tokens": tokens,
                        "operator": kind,
                        "intermediate": intermediate,
                        "time": ratio,
                        "arithmetic": arithmetic,
                        "memory": memory,
                        "trained": trained,
                        "plain_seconds": statistics.median(p for p, _ in pairs),
                    }
                )
                del step
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
