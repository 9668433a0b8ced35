"""Half a byte a number: whole steps of the array's largest absolute value over 7, two in a byte."""

import torch
from torch import Tensor

from fedgrow.errors import FedgrowError
from fedgrow.exchange.compression.base import Compression, Parts


class Int4(Compression):
    """Symmetric linear quantisation with one scale an array, rounded to nearest; the first of two is in the low half."""

    name = "int4"
    parts = ("", "scale")
    together = ("scale",)

    def encode(self, change: Tensor) -> Parts:
        """Quantise; an array of zeros has scale 0."""
        scale = change.abs().amax() / 7 if change.numel() else change.new_zeros(1)
        steps = torch.where(scale > 0, change / scale, torch.zeros_like(change)).round().clamp(-7, 7)
        halves = torch.nn.functional.pad(
            steps.to(torch.int8).view(torch.uint8).flatten() & 15, (0, change.numel() % 2)
        )
        return {"": halves[::2] | halves[1::2] << 4, "scale": scale.reshape(1)}

    def size(self, numbers: int) -> int:
        """Return half a byte a number, and four for the scale."""
        return (numbers + 1) // 2 + 4

    def decode(self, parts: Parts, shape: torch.Size) -> Tensor:
        """Return steps times scale."""
        steps = torch.stack([parts[""] & 15, parts[""] >> 4], 1).flatten().to(torch.int8)
        if bool((steps == 8).any()) or bool(steps[shape.numel() :].any()):
            raise FedgrowError("an int4 array holds -8, or something beyond its end")
        steps = steps[: shape.numel()]
        return (steps - 16 * (steps > 7)).float().reshape(shape) * parts["scale"]
