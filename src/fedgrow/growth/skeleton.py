"""The large model as a function of its tensors: a Hugging Face module whose weights come with every call.

Tables over the vocabulary are never materialised at the large width: rows are looked up in the small table
and then mapped, and a tied output head maps the hidden states down before it meets the small table. Weights that paths
leave as factors become linear layers whose activations meet the maps.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fedgrow.architectures import Reading
from fedgrow.architectures.models import empty_model
from fedgrow.growth.grow import is_vocabulary_table
from fedgrow.growth.maps import Map, over_tensors, tensors
from fedgrow.growth.paths import Path, Paths


class LookupThenMap(nn.Module):
    """An embedding of the large width: look up in the small table, then map."""

    small: Tensor
    map: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.small, self.map = _later(), _later()

    def forward(self, ids: Tensor) -> Tensor:
        """Embed token ids: (batch, length) to (batch, length, large width)."""
        return nn.functional.embedding(ids, self.small) @ self.map.mT


class MapThenProject(LookupThenMap):
    """An output head over the vocabulary: map hidden states down, then meet the small table."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.bias = _later() if bias else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Project hidden states (..., large width) to logits (..., vocabulary)."""
        return nn.functional.linear(hidden @ self.map, self.small, self.bias)


class Factored(nn.Module):
    """A linear layer whose weight is left as factors: pull activations, meet the weight, push them.

    ``weight`` is materialised as far as the path says; ``pull_<i>`` and ``push_<i>`` are the arrays of the maps.
    """

    weight: Tensor
    residual_up: Tensor
    residual_down: Tensor

    def __init__(self, path: Path, *, bias: bool) -> None:
        super().__init__()
        self.transposed = path.reads == 0
        self.maps = {"pull" if dim == path.reads else "push": m for dim, m in path.maps.items()}
        self.weight = _later()
        self.bias = _later() if bias else None
        self.residual = path.residual
        names = [f"{part}_{i}" for part, m in self.maps.items() for i in range(len(tensors(m)))]
        for name in (*names, *(("residual_up", "residual_down") if path.residual else ())):
            setattr(self, name, _later())

    def forward(self, x: Tensor) -> Tensor:
        """Map activations (..., large width read) to (..., large width written).

        Only ``x`` is kept for the backward pass, as a plain layer keeps it; the small activations are made again.
        """
        weight, bias, parts = self.weight, self.bias, {p: self._arrays(p) for p in self.maps}
        residual = (self.residual_down, self.residual_up) if self.residual else None

        def run(
            x: Tensor,
        ) -> Tensor:  # closes over the arrays: in the backward pass the module no longer has them
            read = _bind(self.maps["pull"], parts["pull"]).pull(x, -1) if "pull" in parts else x
            late = "push" in parts or residual is not None
            y = nn.functional.linear(read, weight.mT if self.transposed else weight, None if late else bias)
            if "push" in parts:
                y = _bind(self.maps["push"], parts["push"]).apply(y, -1)
            if residual is not None:
                y = y + (x @ residual[0]) @ residual[1].mT
            return y + bias if late and bias is not None else y

        return checkpoint(run, x, use_reentrant=False) if torch.is_grad_enabled() else run(x)

    def _arrays(self, part: str) -> list[Tensor]:
        return [getattr(self, f"{part}_{i}") for i in range(len(tensors(self.maps[part])))]


def _bind(structure: Map, arrays: list[Tensor]) -> Map:
    queue = iter(arrays)
    return over_tensors(structure, lambda _: next(queue))


def _later() -> nn.Parameter:
    return nn.Parameter(torch.empty(0, device="meta"), requires_grad=False)


def skeleton(reading: Reading, config: Any, paths: Paths | None = None) -> nn.Module:
    """Build the large model without weights, for ``torch.func.functional_call`` with the tensors of ``grow``.

    Args:
        reading: what the small model is (head, ties, vocabulary tables).
        config: the large model's configuration.
        paths: weights that ``grow`` leaves as factors.
    """
    model = empty_model(config, reading.head)
    tables = [s.name for s in reading.specs if is_vocabulary_table(s)]
    for name in [*tables, *(t for t, source in reading.tied.items() if source in tables)]:
        old = model.get_submodule(name.removesuffix(".weight"))
        new = LookupThenMap() if isinstance(old, nn.Embedding) else MapThenProject(old.bias is not None)
        _replace(model, name, new)
    if paths and paths.chosen:
        for name, path in _by_layer(reading, model, paths).items():
            old = model.get_submodule(name.removesuffix(".weight"))
            bias = getattr(old, "bias", None) is not None
            _replace(model, name, Factored(path, bias=bias))
    return model


def _by_layer(reading: Reading, model: nn.Module, paths: Paths) -> Mapping[str, Path]:
    named = dict(model.named_parameters())
    found = {}
    for name, path in paths.chosen.items():
        layer = 0
        while (full := name.format(layer=layer)) in named:
            found[full] = path
            layer += 1
    return found


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.removesuffix(".weight").rpartition(".")
    setattr(model.get_submodule(parent), leaf, new)
