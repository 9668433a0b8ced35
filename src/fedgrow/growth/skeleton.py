"""The large model as a function of its tensors: a Hugging Face module whose weights come with every call.

Tables over the vocabulary are never materialised at the large width: rows are looked up in the small table
and then mapped, and a tied output head maps the hidden states down before it meets the small table. Weights that paths
leave as factors become linear layers whose activations meet the maps.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedgrow.architectures import Reading
from fedgrow.architectures.models import empty_model
from fedgrow.growth.factored import Factored, Recent, later
from fedgrow.growth.grow import is_vocabulary_table
from fedgrow.growth.paths import Path, Paths


class LookupThenMap(nn.Module):
    """An embedding of the large width: look up in the small table, then map.

    Args:
        scale: what the embedding that it stands for multiplies its rows by (Gemma's: the root of the large width).
    """

    small: Tensor
    map: Tensor

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.small, self.map, self.scale = later(), later(), scale

    def forward(self, ids: Tensor) -> Tensor:
        """Embed token ids: (batch, length) to (batch, length, large width)."""
        rows = nn.functional.embedding(ids, self.small) @ self.map.mT
        return rows if self.scale == 1 else rows * self.scale


class MapThenProject(LookupThenMap):
    """An output head over the vocabulary: map hidden states down, then meet the small table."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.bias = later() if bias else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Project hidden states (..., large width) to logits (..., vocabulary)."""
        return nn.functional.linear(hidden @ self.map, self.small, self.bias)


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
        if isinstance(old, nn.Embedding):
            _replace(model, name, LookupThenMap(_scale(old)))
        else:
            _replace(model, name, MapThenProject(old.bias is not None))
    if paths and paths.chosen:
        recent = Recent()
        for name, path in _by_layer(model, paths).items():
            old = model.get_submodule(name.removesuffix(".weight"))
            bias = getattr(old, "bias", None) is not None
            _replace(model, name, Factored(path, bias=bias, recent=recent))
        model.register_forward_hook(recent.clear, always_call=True)
    return model


def _scale(embedding: nn.Embedding) -> float:
    """Return what an embedding multiplies its rows by, as transformers rounds it: to float32."""
    return float(torch.tensor(getattr(embedding, "scalar_embed_scale", 1.0)))


def _by_layer(model: nn.Module, paths: Paths) -> Mapping[str, Path]:
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
