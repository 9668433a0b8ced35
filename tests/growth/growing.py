"""Grow a tiny model and compare it with its source, through transformers' own forward pass."""

from collections.abc import Sequence
from typing import Any

import torch

from fedgrow.architectures import Reading, Shape, read
from fedgrow.architectures.models import large_config
from fedgrow.growth import OPERATORS, Applied, Operator, Stage, grow, stack
from tests import tiny

SMALL = Shape(layers=2, width=8, heads=2, ffn=12)
KINDS = tuple(OPERATORS)


def operator(kind: str, stage: Stage, *, seed: int = 0) -> Operator:
    return OPERATORS[kind](stage, rank=OPERATORS[kind].default_rank and 2, seed=seed)


def stages(reading: Reading, targets: Sequence[Shape]) -> list[Stage]:
    sources = [reading.shape, *targets[:-1]]
    return [Stage(reading.family, source, target) for source, target in zip(sources, targets, strict=True)]


def started(stage: Stage, kind: str, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Applied:
    chosen = operator(kind, stage, seed=seed)
    return Applied(chosen, chosen.initial(dtype))


def grown_config(small: Any, steps: Sequence[Stage]) -> Any:
    factor = 1.0
    for step in steps:
        factor *= step.eps_factor
    return large_config(small.config, steps[-1].family, steps[-1].target, factor)


def materialise(small: Any, applied: Sequence[Applied]) -> Any:
    """Return the grown model as an ordinary transformers model."""
    reading = read(small)
    tensors = grow(reading, stack(reading, small.state_dict()), applied)
    with torch.random.fork_rng(devices=[]):
        large = type(small)(grown_config(small, [a.operator.stage for a in applied]))
    large = large.to(small.dtype).eval()
    large.load_state_dict(tensors)
    return large


def grown(small: Any, targets: Sequence[Shape], kinds: Sequence[str]) -> Any:
    """Grow a model from the function-preserving start, one stage per target."""
    steps = stages(read(small), targets)
    return materialise(
        small, [started(s, kind, seed=i) for i, (s, kind) in enumerate(zip(steps, kinds, strict=True))]
    )


def difference(name: str, small: Any, large: Any) -> float:
    """Return the largest difference of the two models' logits."""
    batch = tiny.inputs(name, dtype=small.dtype)
    return float((tiny.logits(small, batch) - tiny.logits(large, batch)).abs().max())


def relative_difference(name: str, small: Any, large: Any) -> float:
    """Return the difference of the two models' logits as a share of the small one's, in norm."""
    batch = tiny.inputs(name, batch=16, dtype=small.dtype)
    old, new = tiny.logits(small, batch), tiny.logits(large, batch)
    return float((new - old).norm() / old.norm())
