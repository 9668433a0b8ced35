"""The large model as a function of its tensors: a Hugging Face module whose weights come with every call.

Tables over the vocabulary are never materialised at the large width: rows are looked up in the small table
and then mapped, and a tied output head maps the hidden states down before it meets the small table.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fedgrow.architectures import Reading
from fedgrow.architectures.models import empty_model
from fedgrow.growth.grow import is_vocabulary_table


class LookupThenMap(nn.Module):
    """An embedding of the large width: look up in the small table, then map."""

    small: Tensor
    map: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("small", "map"):
            setattr(self, name, nn.Parameter(torch.empty(0, device="meta"), requires_grad=False))

    def forward(self, ids: Tensor) -> Tensor:
        """Embed token ids: (batch, length) to (batch, length, large width)."""
        return nn.functional.embedding(ids, self.small) @ self.map.mT


class MapThenProject(LookupThenMap):
    """An output head over the vocabulary: map hidden states down, then meet the small table."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(0, device="meta"), requires_grad=False) if bias else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Project hidden states (..., large width) to logits (..., vocabulary)."""
        return nn.functional.linear(hidden @ self.map, self.small, self.bias)


def skeleton(reading: Reading, config: Any) -> nn.Module:
    """Build the large model without weights, for ``torch.func.functional_call`` with the tensors of ``grow``.

    Args:
        reading: what the small model is (head, ties, vocabulary tables).
        config: the large model's configuration.
    """
    model = empty_model(config, reading.head)
    tables = [s.name for s in reading.specs if is_vocabulary_table(s)]
    for name in [*tables, *(t for t, source in reading.tied.items() if source in tables)]:
        path = name.removesuffix(".weight")
        old = model.get_submodule(path)
        new = LookupThenMap() if isinstance(old, nn.Embedding) else MapThenProject(old.bias is not None)
        parent, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(parent), leaf, new)
    return model
