"""Tensors that are not trained, brought once to wherever the trained ones are."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Frozen:
    """Tensors that stay as they are.

    Args:
        tensors: the tensors, by name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)
        self._last: tuple[torch.device, torch.dtype | None] | None = None
        self._moved: dict[str, Tensor] = {}

    def beside(self, x: Tensor, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """Return them on the device of ``x``, as they are or in another type; kept until asked for others."""
        if self._last != (x.device, dtype):
            self._moved = {n: t.to(x.device, dtype or t.dtype) for n, t in self.tensors.items()}
            self._last = (x.device, dtype)
        return dict(self._moved)


def bring_buffers(module: nn.Module, device: torch.device) -> None:
    """Bring a module's buffers (positions, frequencies) to a device; its parameters have no memory."""
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.device.type != "meta" and buffer.device != device:
                part.register_buffer(
                    name, buffer.to(device), persistent=name not in part._non_persistent_buffers_set
                )
