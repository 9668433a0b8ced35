"""Where a participant computes, and in which type its model's forward pass does."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from fedgrow.config.plan import TrainingPlan
from fedgrow.errors import FedgrowError


def device_of(plan: TrainingPlan) -> torch.device:
    """Return the device that a plan names; ``auto`` takes the best that there is.

    Raises:
        FedgrowError: there is no such device here.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if plan.device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there[plan.device]:
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise FedgrowError(
            f"training.device: there is no {plan.device} here, only {found}; choose one of these, or auto"
        )
    return torch.device(plan.device)


def autocast(plan: TrainingPlan, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of a forward pass: bfloat16 where the plan says so. Growth itself stays in float32."""
    if plan.autocast == "none":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def on(device: torch.device, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors on a device."""
    return {name: tensor.to(device) for name, tensor in tensors.items()}
