"""One byte a number: whole steps of the array's largest absolute value over 127."""

import torch
from torch import Tensor

from fedgrow.exchange.compression.base import Compression, Parts


class Int8(Compression):
    """Symmetric linear quantisation with one scale an array, rounded to nearest."""

    name = "int8"
    parts = ("", "scale")
    together = ("scale",)

    def encode(self, change: Tensor) -> Parts:
        """Quantise; an array of zeros has scale 0."""
        scale = change.abs().amax() / 127 if change.numel() else change.new_zeros(1)
        steps = torch.where(scale > 0, change / scale, torch.zeros_like(change))
        return {"": steps.round().clamp(-127, 127).to(torch.int8), "scale": scale.reshape(1)}

    def size(self, numbers: int) -> int:
        """Return one byte a number, and four for the scale."""
        return numbers + 4

    def decode(self, parts: Parts, shape: torch.Size) -> Tensor:
        """Return steps times scale."""
        return parts[""].float() * parts["scale"]
