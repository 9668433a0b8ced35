"""The parity receipt: how far a grown model's outputs are from its small model's before any training."""

import torch
from torch import nn

from fedgrow.architectures.outputs import tensor_of
from fedgrow.growth.parity import Parity, compare
from fedgrow.learners import Ligo
from fedgrow.tasks.base import Codec, Encoded

EXAMPLES = 32


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
    reference = tensor_of(torch.func.functional_call(small.eval(), double, (), inputs, tie_weights=False))
    return compare(reference, grown, count, learner.declared)
