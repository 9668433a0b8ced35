"""Grow a tiny model and compare it with its source, through transformers' own forward pass."""

from collections.abc import Sequence
from typing import Any

import torch

from fedgrow.architectures import Family, Reading, Shape, read
from fedgrow.architectures.models import new_model
from fedgrow.growth import OPERATORS, Applied, Operator, Stage, grow, stack
from tests import tiny, zoo

SMALL = Shape(layers=2, width=8, heads=2, ffn=12)
KINDS = tuple(OPERATORS)
LEARNED = tuple(kind for kind in KINDS if kind != "fixed")


def operator(kind: str, stage: Stage, *, seed: int = 0, **settings: Any) -> Operator:
    return OPERATORS[kind](stage, rank=OPERATORS[kind].default_rank and 2, seed=seed, **settings)


def stages(reading: Reading, targets: Sequence[Shape]) -> list[Stage]:
    sources = [reading.shape, *targets[:-1]]
    return [Stage(reading.family, source, target) for source, target in zip(sources, targets, strict=True)]


def started(
    stage: Stage, kind: str, *, seed: int = 0, dtype: torch.dtype = torch.float64, **settings: Any
) -> Applied:
    chosen = operator(kind, stage, seed=seed, **settings)
    return Applied(chosen, chosen.initial(dtype))


def noisy(applied: Applied, std: float = 0.05, seed: int = 1) -> Applied:
    """Move an operator off its start, so that nothing is zero."""
    generator = torch.Generator().manual_seed(seed)
    arrays = {
        name: array + std * torch.randn(array.shape, generator=generator, dtype=array.dtype)
        for name, array in applied.arrays.items()
    }
    return Applied(applied.operator, arrays)


def grown_config(small: Any, steps: Sequence[Stage]) -> Any:
    config = small.config
    for step in steps:
        config = step.config(config)
    return config


def materialise(small: Any, applied: Sequence[Applied]) -> Any:
    """Return the grown model as an ordinary transformers model."""
    reading = read(small)
    tensors = grow(reading, stack(reading, small.state_dict()), applied)
    config = grown_config(small, [a.operator.stage for a in applied])
    large: Any = new_model(config, reading.head, seed=0).to(small.dtype).eval()
    large.load_state_dict(tensors)
    zoo.exact_embedding_scale(large)
    return large


def grown(small: Any, targets: Sequence[Shape], kinds: Sequence[str], *, start: str = "exact") -> Any:
    """Grow a model from a start, one stage per target."""
    steps = stages(read(small), targets)
    chosen = zip(steps, kinds, strict=True)
    return materialise(small, [started(s, kind, seed=i, start=start) for i, (s, kind) in enumerate(chosen)])


def share_of_difference(small: Any, large: Any, family: Family, head: str | None) -> float:
    """Return the largest difference of the two models' outputs as a share of the largest output.

    Of bare bodies the old entries are compared.
    """
    batch = zoo.inputs(family, head)
    with zoo.norms_in_float64():
        old, new = zoo.outputs(small, batch), zoo.outputs(large, batch)
    assert old.abs().max() > 1e-3
    return float((new[..., : old.shape[-1]] - old).abs().max() / old.abs().max().clamp(min=1.0))


def difference(name: str, small: Any, large: Any) -> float:
    """Return the largest difference of the two models' logits."""
    batch = tiny.inputs(name, dtype=small.dtype)
    with zoo.norms_in_float64():
        return float((tiny.logits(small, batch) - tiny.logits(large, batch)).abs().max())


def relative_difference(name: str, small: Any, large: Any) -> float:
    """Return the difference of the two models' logits as a share of the small one's, in norm."""
    batch = tiny.inputs(name, batch=16, dtype=small.dtype)
    old, new = tiny.logits(small, batch), tiny.logits(large, batch)
    return float((new - old).norm() / old.norm())
