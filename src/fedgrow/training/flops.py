"""Arithmetic of a training step, counted by torch while it is carried out."""

import math
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

_counted: dict[Hashable, int] = {}


def forget_counts() -> None:
    """Forget what was counted: another run may lie at the same path."""
    _counted.clear()


def counted(work: Callable[[], object], alike: Hashable = None) -> int:
    """Carry something out and return its floating-point operations: products of matrices, convolutions and attention.

    A multiplication with its addition counts as two. Elementwise work (activations, AdamW's own) is not counted.

    Args:
        work: what is carried out.
        alike: all that its arithmetic follows from: what was counted once is not carried out again; None: it is.
    """
    if alike is not None and alike in _counted:
        return _counted[alike]
    ops = torch.ops.aten
    mapping = {  # what the counter does not know: products added in place, and the CPU's fused attention
        ops.addmm_: _added,
        ops._scaled_dot_product_flash_attention_for_cpu: _attention,
        ops._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        work()
    total = int(counter.get_total_flops())
    if alike is not None:
        _counted[alike] = total
    return total


def _added(_: Any, a: Any, b: Any, **__: Any) -> int:
    return 2 * math.prod(a) * int(b[-1])


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)
