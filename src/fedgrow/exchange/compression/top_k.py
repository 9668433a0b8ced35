"""Only the largest changes travel, by place and float16 value; the others wait for a later round."""

import math

import torch
from torch import Tensor

from fedgrow.errors import FedgrowError
from fedgrow.exchange.compression.base import Compression, Parts


class TopK(Compression):
    """The given fraction of every array's entries, the largest in absolute value, at six bytes each.

    Args:
        fraction: of the entries, at least one an array.
    """

    name = "top-k"
    parts = ("places", "values")

    def __init__(self, fraction: float = 0.1) -> None:
        self.fraction = fraction

    def encode(self, change: Tensor) -> Parts:
        """Return places in ascending order, in the array laid out flat, and values."""
        flat = change.reshape(-1)
        places = flat.abs().topk(self._count(len(flat))).indices.sort().values
        most = torch.finfo(torch.float16).max
        return {"places": places.int(), "values": flat[places].clamp(-most, most).half()}

    def size(self, numbers: int) -> int:
        """Return six bytes an entry that travels."""
        return 6 * self._count(numbers)

    def _count(self, numbers: int) -> int:
        return min(numbers, max(1, math.ceil(self.fraction * numbers)))

    def decode(self, parts: Parts, shape: torch.Size) -> Tensor:
        """Put the values in their places, zeros elsewhere."""
        places, flat = parts["places"].long(), torch.zeros(math.prod(shape))
        inside = len(places) == 0 or (int(places[0]) >= 0 and int(places[-1]) < len(flat))
        if not inside or not bool((places.diff() > 0).all()):
            raise FedgrowError("places of a top-k array are not in order, or outside it")
        flat[places] = parts["values"].float()
        return flat.reshape(shape)
