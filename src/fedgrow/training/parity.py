"""The parity receipt: how far a grown model's outputs are from its small model's before any training."""

from dataclasses import asdict, dataclass

import torch
from torch import nn

from fedgrow.methods import Ligo
from fedgrow.tasks.base import Codec, Encoded

EXAMPLES = 32


@dataclass(frozen=True)
class Parity:
    """Differences of logits between the grown model at the start and the small model, computed in float64.

    Attributes:
        max_abs: largest absolute difference.
        mean_abs: mean absolute difference.
        logits_max_abs: largest absolute logit of the small model, for scale.
        examples: how many held-out examples were compared.
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


@torch.no_grad()
def parity(learner: Ligo, small: nn.Module, data: Encoded, codec: Codec) -> Parity:
    """Compare the grown model at its start with the small model on a few examples."""
    count = min(EXAMPLES, len(data))
    inputs, _ = codec.batch(data, range(count))
    inputs = {n: x.double() if x.is_floating_point() else x for n, x in inputs.items()}
    shared, private = (
        {n: t.double() for n, t in part.items()} for part in (learner.shared_start(), learner.private_start())
    )
    weights = {n: t.double() for n, t in learner.weights(shared, private).items()}
    grown = learner.logits(weights, inputs, training=False)
    double = {n: t.double() if t.is_floating_point() else t for n, t in small.state_dict().items()}
    reference = torch.func.functional_call(small.eval(), double, (), inputs, tie_weights=False).logits
    difference = (grown - reference).abs()
    return Parity(
        float(difference.max()),
        float(difference.mean()),
        float(reference.abs().max()),
        count,
        learner.declared,
    )
