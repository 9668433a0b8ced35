"""Starting maps of single axes, from which the initialisers are put together."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fedgrow.growth.heads import entries
from fedgrow.growth.initialisers.base import Start
from fedgrow.growth.maps import Selection
from fedgrow.growth.stage import Stage

# How the readers of a duplicated axis share among the copies: (row -> small index, small size) -> factor of every row.
Shares = Callable[[Tensor, int], Tensor]


def sizes(stage: Stage, kind: str) -> tuple[int, int]:
    """Return the small and the large size of an axis that is not made of heads."""
    if kind == "ffn":
        return stage.source.ffn, stage.target.ffn
    return stage.source.width, stage.target.width


def plain(small: int, large: int, *, extra: str, scale: float = 1.0, free: bool = False) -> Start:
    """Keep the old entries in place; new ones are copies, zeros or the mean of all."""
    rows = torch.arange(large)
    new = rows >= small
    index = torch.full_like(rows, small) if extra == "mean" else rows % small
    index = torch.where(new, index, rows)
    factor = torch.full((large,), scale, dtype=torch.float64)
    if extra == "zero":
        factor[new] = 0.0
    return Start(Selection(index, factor, small), new & free, new)


def copies(index: Tensor, small: int, factor: Tensor | None = None) -> Start:
    """Make every entry a copy of the small entry that ``index`` names."""
    factor = torch.ones(len(index), dtype=torch.float64) if factor is None else factor
    new = torch.arange(len(index)) >= small
    return Start(Selection(index, factor, small), torch.zeros_like(new), new)


def first_only(index: Tensor, small: int) -> Tensor:
    """Let readers read the first copy only."""
    return (torch.arange(len(index)) < small).double()


def equal_shares(index: Tensor, small: int) -> Tensor:
    """Let readers divide by the number of copies (Net2Net)."""
    return 1.0 / torch.bincount(index, minlength=small)[index].double()


def uneven_shares(seed: int) -> Shares:
    """Let readers weigh the copies at random, weights of one entry adding up to one (LEMON)."""

    def share(index: Tensor, small: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        weights = torch.rand(len(index), generator=generator, dtype=torch.float64) + 0.5
        return weights / torch.zeros(small, dtype=torch.float64).index_add_(0, index, weights)[index]

    return share


def stream(stage: Stage, kind: str, role: str, shares: Shares = first_only) -> Start:
    """Return the start of the residual stream, of the norms' vectors and outputs, and of a masked-LM transform."""
    small, large = stage.source.width, stage.target.width
    if kind == "transform":
        return _transform(stage, role)
    if stage.duplicates:
        index = torch.arange(large) % small
        return copies(index, small, shares(index, small) if role == "in" else None)
    pre, rms = stage.family.norm == "pre", stage.family.norm_kind == "rms"
    if kind == "scale":
        return plain(small, large, extra="copy")
    if role == "out":
        return plain(small, large, extra="zero" if rms else "mean", scale=stage.stream_scale)
    if role == "gain":
        return plain(small, large, extra="copy", scale=stage.gain_scale)
    if role == "shift":
        return plain(small, large, extra="zero" if pre else "mean")
    # Readers: under pre-norm the new normalised entries are exactly 0, so what reads them is free.
    return plain(small, large, extra="copy" if pre else "zero", free=pre)


def _transform(stage: Stage, role: str) -> Start:
    """BERT's masked-LM transform: a dense layer, an activation and a norm before the (tied) vocabulary."""
    small, large = stage.source.width, stage.target.width
    if not stage.duplicates:
        return {
            "out": plain(small, large, extra="mean"),
            "gain": plain(small, large, extra="zero", scale=stage.gain_scale),
            "shift": plain(small, large, extra="zero"),
            "in": plain(small, large, extra="zero"),
        }[role]
    # The decoder reads duplicated embeddings: 1 / multiplicity goes into the gain and shift before it.
    index = torch.arange(large) % small
    return copies(index, small, equal_shares(index, small) if role in ("gain", "shift") else None)


def ffn(stage: Stage, kind: str, role: str) -> Start:
    """Return the start of a hidden axis: new units may compute anything, for nothing reads them yet."""
    small, large = sizes(stage, kind)
    return plain(small, large, extra="copy" if role == "out" else "zero", free=role == "out")


def copied_ffn(stage: Stage, kind: str, role: str, shares: Shares, index: Tensor | None = None) -> Start:
    """Return the start of a hidden axis whose new units are copies, readers sharing among them."""
    small, large = sizes(stage, kind)
    index = torch.arange(large) % small if index is None else index
    return copies(index, small, shares(index, small) if role == "in" else None)


def random_copies(small: int, large: int, seed: int) -> Tensor:
    """Return the small entry of each large one: the old in place, new ones drawn at random (Net2Net)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(small, (large - small,), generator=generator)
    return torch.cat([torch.arange(small), drawn])


def heads(stage: Stage, kind: str, role: str, shares: Shares | None = None) -> Start:
    """Return the start of an axis made of heads: old heads keep their place inside their group, others are new.

    Args:
        stage: from which shape to which.
        kind: query, key, value, query_norm, key_norm or head.
        role: out, in or gain.
        shares: if given, new heads are copies of old ones of the same group, and readers share among them.
    """
    old, new, family = stage.source, stage.target, stage.family
    small, large = old.head_size, new.head_size
    places = entries(small, large, rotating=old.rotating if family.rotary else 0, step=stage.rotary_step)
    inner = torch.full((large,), -1)
    inner[places] = torch.arange(small)
    if kind == "head":
        inner, small = torch.zeros(1, dtype=torch.long), 1
    root = math.sqrt(large / old.head_size) if kind != "head" else 1.0
    if kind in ("query_norm", "key_norm"):
        times = (1.0 / root) * (root if kind == "query_norm" and family.scales_queries else 1.0)
        index = torch.where(inner >= 0, inner, torch.arange(large) % small)
        return Start(
            Selection(index, torch.full((large,), times, dtype=torch.float64), small), inner < 0, inner < 0
        )
    grouped = kind in ("key", "value") and role == "out"
    sources = stage.groups.kv_sources() if grouped else stage.groups.query_sources()
    fallback = _fallback(stage, grouped)
    head = torch.where(sources >= 0, sources, fallback).repeat_interleave(len(inner))
    new_head = (sources < 0).repeat_interleave(len(inner))
    new_inner = (inner < 0).repeat(len(sources))
    position = torch.where(inner >= 0, inner, torch.arange(len(inner)) % small).repeat(len(sources))
    kept = ~new_head & ~new_inner
    index, total = head * small + position, (old.kv_heads if grouped else old.heads) * small
    factor = torch.ones(len(index), dtype=torch.float64)
    free = torch.zeros_like(kept)
    copied = shares is not None
    if kind == "query":
        # attention divides by the square root of the head size; a norm inside the heads sees larger, emptier heads
        factor *= root if family.scales_queries or family.norms_heads else 1.0
        if family.norms_heads:
            factor[new_inner] = 0.0
        free = (new_head if family.norms_heads else ~kept) & ~(new_head & copied)
    elif kind == "key":
        factor *= root if family.norms_heads else 1.0
        # or a new query dimension would change the scores
        factor[new_inner if copied or family.norms_heads else new_inner & ~new_head] = 0.0
        free = new_head & (not copied)
    elif kind == "head":
        free = new_head & (not copied)
    elif role == "out":
        free = new_inner if copied else ~kept
    elif shares is None:
        factor[~kept] = 0.0  # nothing reads the new values yet
    else:
        whole = torch.where(sources >= 0, sources, fallback)
        factor = shares(whole, old.heads).repeat_interleave(len(inner))
        factor[new_inner] = 0.0
    return Start(Selection(index, factor, total), free, ~kept)


def _fallback(stage: Stage, grouped: bool) -> Tensor:
    """Return for every large head the small one that a copy in its place is taken from: of the same group."""
    groups = stage.groups
    kv_sources = groups.kv_sources()
    spare = torch.arange(len(kv_sources)) % groups.kv_heads
    kv_sources = torch.where(kv_sources >= 0, kv_sources, spare)
    if grouped:
        return kv_sources
    group, large_group = groups.heads // groups.kv_heads, groups.large_heads // groups.large_kv_heads
    slots = torch.arange(groups.large_heads)
    return kv_sources[slots // large_group] * group + slots % group


def exact(stage: Stage, axis: str) -> Start:
    """Return the function-preserving start of an axis, its free rows copies."""
    kind, role = axis.split(".")
    if kind in ("query", "key", "value", "query_norm", "key_norm", "head"):
        return heads(stage, kind, role)
    if kind in ("ffn", "pooled"):
        return ffn(stage, kind, role)
    return stream(stage, kind, role)
