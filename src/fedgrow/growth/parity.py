"""What a parity receipt says: how far a grown model's outputs are from its small model's."""

from dataclasses import asdict, dataclass

from torch import Tensor


@dataclass(frozen=True)
class Parity:
    """Differences of outputs between a grown model at the start and the small model, computed in float64.

    Attributes:
        max_abs: largest absolute difference.
        mean_abs: mean absolute difference.
        logits_max_abs: largest absolute output of the small model, for scale.
        examples: how many examples were compared.
        declared: what docs/exactness.md declares for this growth.
    """

    max_abs: float
    mean_abs: float
    logits_max_abs: float
    examples: int
    declared: str

    def as_dict(self) -> dict[str, float | int | str]:
        """Return the receipt as plain values."""
        return asdict(self)


def compare(small: Tensor, grown: Tensor, examples: int, declared: str) -> Parity:
    """Compare outputs; of a wider bare body's hidden states the old entries, which come first."""
    difference = (grown[..., : small.shape[-1]] - small).abs()
    return Parity(
        float(difference.max()), float(difference.mean()), float(small.abs().max()), examples, declared
    )
