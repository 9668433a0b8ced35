"""Depth: which small layer a large one starts from, and how the function is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from fedgrow.architectures.axes import parts
from fedgrow.architectures.table import Block, Family

if TYPE_CHECKING:
    from fedgrow.growth.stage import Stage


@dataclass(frozen=True)
class Depth:
    """Depth of one block tensor: ``W'_i = sum_j mix[i, j] W_j + constant[i]`` (the constant: gains of norms only)."""

    mix: Float[Tensor, "large_layers small_layers"]
    constant: Float[Tensor, " large_layers"] | None = None


def source_layers(small: int, large: int) -> list[int]:
    """Return, for every layer of the large model, the layer it starts from: new ones follow their source."""
    return [i * small // large for i in range(large)]


def labels_of(axes: Sequence[str]) -> set[str]:
    """Return all plain labels of a tensor's dimensions."""
    return {part for label in axes for part in parts(label)}


def copied_layers(family: Family, block: Block, sources: Sequence[int], small: int) -> dict[str, Depth]:
    """Return a depth at which every large layer is a copy of its source, for every tensor of a stack."""
    mix = torch.zeros(len(sources), small, dtype=torch.float64)
    mix[torch.arange(len(sources)), torch.tensor(sources)] = 1.0
    return {
        family.key(block, name): Depth(
            mix.clone(),
            torch.zeros(len(sources), dtype=torch.float64) if "norm.gain" in labels_of(axes) else None,
        )
        for name, axes in block.tensors.items()
    }


def silent_new_layers(family: Family, block: Block, small: int, large: int) -> dict[str, Depth]:
    """Return the function-preserving depth of every tensor of a stack.

    New blocks write nothing into the stream (output projections and their biases start at zero). Under
    post-norm the gain and shift of the norm before a run of new blocks move to the norm that closes the run,
    and the norms in between start as gain 1, shift 0.
    """
    sources = source_layers(small, large)
    new = [i > 0 and sources[i] == sources[i - 1] for i in range(large)]
    last_of_run = [i == large - 1 or not new[i + 1] for i in range(large)]
    starts = copied_layers(family, block, sources, small)
    for name, axes in block.tensors.items():
        labels, begin = labels_of(axes), starts[family.key(block, name)]
        closes = block.closing_norm is not None and name.startswith(f"{block.closing_norm}.")
        for i in range(large):
            if "stream.out" in labels and new[i]:
                begin.mix[i] = 0.0
            if family.norm == "post" and labels & {"norm.gain", "norm.shift"}:
                neutral = not last_of_run[i] if closes else new[i]
                if neutral:
                    begin.mix[i] = 0.0
                    if begin.constant is not None:
                        begin.constant[i] = 1.0
    return starts


def silent_depth(stage: "Stage") -> dict[str, Depth]:
    """Return the function-preserving depth of every block tensor: new blocks write nothing into the stream."""
    starts: dict[str, Depth] = {}
    for block in stage.family.blocks:
        small, large = block.layers(stage.source), block.layers(stage.target)
        starts |= silent_new_layers(stage.family, block, small, large)
    return starts


def copied_depth(stage: "Stage", order: Callable[[int, int], list[int]]) -> dict[str, Depth]:
    """Return a depth at which every large layer is a copy of the small one that ``order(small, large)`` names."""
    starts: dict[str, Depth] = {}
    for block in stage.family.blocks:
        small, large = block.layers(stage.source), block.layers(stage.target)
        starts |= copied_layers(stage.family, block, order(small, large), small)
    return starts


def deepens(stage: "Stage") -> bool:
    """Tell whether any stack of blocks gets more of them."""
    return any(b.layers(stage.source) < b.layers(stage.target) for b in stage.family.blocks)


def stacked_layers(small: int, large: int) -> list[int]:
    """Return the order of stacking: the whole model, again and again."""
    return [i % small for i in range(large)]
