"""One tensor from what a Hugging Face model returns, whatever its head."""

from typing import Any

import torch
from torch import Tensor


def tensor_of(output: Any) -> Tensor:
    """Return a model's logits, or a bare body's last hidden states.

    Heads that look for a span have two logits for each token, (batch, length, 2): of its start and of its end.
    """
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    return output.logits if "logits" in output else output.last_hidden_state
