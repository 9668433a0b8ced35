"""Two bytes a number: float16, with more digits, or bfloat16, with float32's range."""

import torch
from torch import Tensor

from fedgrow.exchange.compression.base import Compression, Parts


class Float16(Compression):
    """IEEE half precision; changes beyond 65,504 are clipped, and the rest of them goes into the next round."""

    name = "float16"

    def encode(self, change: Tensor) -> Parts:
        """Round to half precision."""
        most = torch.finfo(torch.float16).max
        return {"": change.clamp(-most, most).half()}

    def size(self, numbers: int) -> int:
        """Return two bytes a number."""
        return 2 * numbers

    def decode(self, parts: Parts, shape: torch.Size) -> Tensor:
        """Read as float32."""
        return parts[""].float()


class BFloat16(Compression):
    """The upper half of float32; its bits travel as uint16, for neither NumPy nor Flower has the type."""

    name = "bfloat16"

    def encode(self, change: Tensor) -> Parts:
        """Round to bfloat16."""
        return {"": change.bfloat16().view(torch.uint16)}

    def size(self, numbers: int) -> int:
        """Return two bytes a number."""
        return 2 * numbers

    def decode(self, parts: Parts, shape: torch.Size) -> Tensor:
        """Read as float32."""
        return parts[""].view(torch.bfloat16).float()
