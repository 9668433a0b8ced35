"""The function-preserving start of every map and of the depth: structured, the same at every site.

Rows whose value does not matter for exactness are *free*; they start as copies, and an operator that learns
a whole matrix may fill them at random to break the symmetry between copies. Sources: LEMON (ICLR 2024),
bert2BERT (ACL 2022), and the checks recorded in ``docs/exactness.md``.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from fedgrow.growth.maps import Selection
from fedgrow.growth.stage import Stage


@dataclass(frozen=True)
class Start:
    """A starting map and the rows of it that may hold anything."""

    map: Selection
    free: Bool[Tensor, " large"]


def start(stage: Stage, axis: str) -> Start:
    """Return the function-preserving start of one map of a stage.

    Args:
        stage: from which shape to which.
        axis: a label of the table, such as ``stream.out``.
    """
    kind, role = axis.split(".")
    if kind in ("query", "key", "value"):
        return _heads(stage, kind, role)
    if kind in ("ffn", "pooled"):
        small, large = _sizes(stage, kind)
        return _plain(small, large, extra="copy" if role == "out" else "zero", free=role == "out")
    return _stream(stage, kind, role)


def _sizes(stage: Stage, kind: str) -> tuple[int, int]:
    if kind == "ffn":
        return stage.source.ffn, stage.target.ffn
    return stage.source.width, stage.target.width


def _plain(small: int, large: int, *, extra: str, scale: float = 1.0, free: bool = False) -> Start:
    """Keep the old entries in place; new ones are copies, zeros or the mean of all."""
    rows = torch.arange(large)
    new = rows >= small
    index = torch.full_like(rows, small) if extra == "mean" else rows % small
    index = torch.where(new, index, rows)
    factor = torch.full((large,), scale, dtype=torch.float64)
    if extra == "zero":
        factor[new] = 0.0
    return Start(Selection(index, factor, small), new & free)


def _stream(stage: Stage, kind: str, role: str) -> Start:
    small, large = stage.source.width, stage.target.width
    if kind == "transform":
        return _transform(stage, role)
    if stage.duplicates:
        return _plain(small, large, extra="zero" if role == "in" else "copy")
    pre = stage.family.norm == "pre"
    if role == "out":
        return _plain(small, large, extra="mean")
    if role == "gain":
        return _plain(small, large, extra="copy", scale=stage.gain_scale)
    if role == "shift":
        return _plain(small, large, extra="zero" if pre else "mean")
    # Readers: under pre-norm the new normalised entries are exactly 0, so what reads them is free.
    return _plain(small, large, extra="copy" if pre else "zero", free=pre)


def _transform(stage: Stage, role: str) -> Start:
    """BERT's masked-LM transform: a dense layer, an activation and a norm before the (tied) vocabulary."""
    small, large = stage.source.width, stage.target.width
    if not stage.duplicates:
        return {
            "out": _plain(small, large, extra="mean"),
            "gain": _plain(small, large, extra="zero", scale=stage.gain_scale),
            "shift": _plain(small, large, extra="zero"),
            "in": _plain(small, large, extra="zero"),
        }[role]
    # The decoder reads duplicated embeddings: 1 / multiplicity goes into the gain and shift before it.
    scale = small / large if role in ("gain", "shift") else 1.0
    return _plain(small, large, extra="copy", scale=scale)


def _heads(stage: Stage, kind: str, role: str) -> Start:
    """Old heads keep their place and fill their first dimensions; the rest is new."""
    old, new = stage.source, stage.target
    rows = torch.arange(new.heads * new.head_size)
    head, inner = rows // new.head_size, rows % new.head_size
    in_old_head, in_old_inner = head < old.heads, inner < old.head_size
    kept = in_old_head & in_old_inner
    index = (head % old.heads) * old.head_size + inner % old.head_size
    factor = torch.ones(len(rows), dtype=torch.float64)
    free = torch.zeros_like(kept)
    if kind == "query":
        # attention divides by the square root of the head size
        factor *= math.sqrt(new.head_size / old.head_size)
        free = ~kept
    elif kind == "key":
        factor[in_old_head & ~in_old_inner] = 0.0  # or a new query dimension would change the scores
        free = ~in_old_head
    elif role == "out":
        free = ~kept
    else:
        factor[~kept] = 0.0  # nothing reads the new values yet
    return Start(Selection(index, factor, old.heads * old.head_size), free)


@dataclass(frozen=True)
class DepthStart:
    """Depth of one block tensor: ``W'_i = sum_j mix[i, j] W_j + constant[i]``."""

    mix: Float[Tensor, "large_layers small_layers"]
    constant: Float[Tensor, " large_layers"] | None


def source_layers(small: int, large: int) -> list[int]:
    """Return, for every layer of the large model, the layer it starts from: new ones follow their source."""
    return [i * small // large for i in range(large)]


def depth_start(stage: Stage) -> dict[str, DepthStart]:
    """Return the function-preserving depth of every block tensor, by its name inside the block.

    New blocks write nothing into the stream (output projections and their biases start at zero). Under
    post-norm the gain and shift of the norm before a run of new blocks move to the norm that closes the run,
    and the norms in between start as gain 1, shift 0.
    """
    small, large = stage.source.layers, stage.target.layers
    sources = source_layers(small, large)
    new = [i > 0 and sources[i] == sources[i - 1] for i in range(large)]
    last_of_run = [i == large - 1 or not new[i + 1] for i in range(large)]
    block = stage.family.block
    starts = {}
    for name, axes in block.tensors.items():
        labels = {part for label in axes for part in label.split("|")}
        mix = torch.zeros(large, small, dtype=torch.float64)
        mix[torch.arange(large), torch.tensor(sources)] = 1.0
        constant = torch.zeros(large, dtype=torch.float64) if "norm.gain" in labels else None
        closes = block.closing_norm is not None and name.startswith(f"{block.closing_norm}.")
        for i in range(large):
            if "stream.out" in labels and new[i]:
                mix[i] = 0.0
            if stage.family.norm == "post" and labels & {"norm.gain", "norm.shift"}:
                neutral = not last_of_run[i] if closes else new[i]
                if neutral:
                    mix[i] = 0.0
                    if constant is not None:
                        constant[i] = 1.0
        starts[name] = DepthStart(mix, constant)
    return starts
