"""Learners of tiny models, and moved away from their start so that every tensor counts."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fedgrow.architectures import Shape
from fedgrow.learners import DualLigo, Learner
from tests import tiny
from tests.federation import tiny_plan

SMALL = Shape(layers=1, width=8, heads=2, ffn=12)
MIDDLE = {"layers": 2, "width": 16, "heads": 2, "ffn": 16}
LARGE = {"layers": 3, "width": 32, "heads": 4, "ffn": 40}


def plan(**changes: Any) -> Any:
    return tiny_plan(**{"intermediate": MIDDLE, "large": LARGE} | changes)


def small(name: str, **overrides: Any) -> Any:
    return tiny.model(name, SMALL, std=0.2, gain=1.0, dtype=torch.float32, **overrides)


def dual(name: str, **changes: Any) -> DualLigo:
    return DualLigo(small(name), plan(**changes))


def moved(tensors: Mapping[str, Tensor], seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {n: t + 0.05 * torch.randn(t.shape, generator=generator) for n, t in tensors.items()}


def batch(name: str) -> dict[str, Tensor]:
    return tiny.inputs(name, dtype=torch.float32)


def logits(
    learner: Learner, name: str, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]
) -> Tensor:
    with torch.no_grad():
        return learner.logits(learner.weights(shared, private), batch(name), training=False)
