"""Two bits a number, four in a byte: less, nothing, or more (thresholds of ternary weight networks, Li et al., 2016)."""

import torch
from torch import Tensor

from fedgrow.errors import FedgrowError
from fedgrow.exchange.compression.base import Compression, Parts

PLACES = torch.tensor([0, 2, 4, 6], dtype=torch.uint8)


class Ternary(Compression):
    """Signs of the entries beyond 0.7 of the mean size, and one scale an array: the mean size of these.

    What is lost of an array is much; error feedback brings it in later rounds.
    """

    name = "ternary"
    parts = ("", "scale")
    together = ("scale",)

    def encode(self, change: Tensor) -> Parts:
        """Keep the signs of large entries; an array of zeros has scale 0."""
        sizes = change.abs().flatten()
        large = sizes > 0.7 * sizes.mean() if change.numel() else sizes > 0
        scale = sizes[large].mean() if large.any() else change.new_zeros(())
        signs = (change.flatten().sign() * large).to(torch.int8).view(torch.uint8) & 3
        signs = torch.nn.functional.pad(signs, (0, -change.numel() % 4)).reshape(-1, 4)
        return {"": (signs << PLACES).sum(1, dtype=torch.uint8), "scale": scale.reshape(1)}

    def size(self, numbers: int) -> int:
        """Return a quarter of a byte a number, and four for the scale."""
        return (numbers + 3) // 4 + 4

    def decode(self, parts: Parts, shape: torch.Size) -> Tensor:
        """Return signs times scale."""
        signs = (parts[""][:, None] >> PLACES & 3).flatten().to(torch.int8)
        if bool((signs == 2).any()) or bool(signs[shape.numel() :].any()):
            raise FedgrowError("a ternary array holds what is no sign, or something beyond its end")
        signs = signs[: shape.numel()]
        return (signs - 4 * (signs > 1)).float().reshape(shape) * parts["scale"]
