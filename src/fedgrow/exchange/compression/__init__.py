"""How what a participant sends is made smaller. Another way is a file here and a line in the registry.

A participant sends the change that a round made to what it was given, and keeps what compression lost of it (error
feedback, Seide et al. 2014; Karimireddy et al., ICML 2019): the next round's change begins with that.
"""

from fedgrow.config.plan import CompressionPlan
from fedgrow.exchange.compression.base import Compression, Nothing, compress, restore
from fedgrow.exchange.compression.halves import BFloat16, Float16
from fedgrow.exchange.compression.int4 import Int4
from fedgrow.exchange.compression.int8 import Int8
from fedgrow.exchange.compression.ternary import Ternary
from fedgrow.exchange.compression.top_k import TopK

COMPRESSIONS: dict[str, type[Compression]] = {
    kind.name: kind for kind in (Nothing, Float16, BFloat16, Int8, Int4, Ternary, TopK)
}

__all__ = ["COMPRESSIONS", "Compression", "compress", "compression_down", "compression_of", "restore"]


def compression_of(plan: CompressionPlan) -> Compression:
    """Return a plan's compression of what participants send."""
    kind = COMPRESSIONS[plan.kind]
    return kind() if plan.fraction is None else kind(plan.fraction)  # type: ignore[call-arg]


def compression_down(plan: CompressionPlan) -> Compression:
    """Return a plan's compression of what participants are given to train on."""
    return COMPRESSIONS[plan.down]()
