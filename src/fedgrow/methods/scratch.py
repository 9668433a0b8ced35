"""The large model from scratch, its body averaged: what Fed-Grow is measured against (FedAvg, McMahan et al., 2017)."""

from torch import nn

from fedgrow.architectures import read
from fedgrow.architectures.models import large_config, new_model
from fedgrow.config.plan import Plan
from fedgrow.methods.whole_model import WholeModel, body_names


def scratch(small: nn.Module, plan: Plan, *, share_vocabulary: bool) -> WholeModel:
    """Make a participant's large model with fresh weights.

    Args:
        small: the participant's small model: only its configuration is used.
        plan: the resolved plan.
        share_vocabulary: whether tables over the vocabulary are averaged too; only sensible where all
            participants have the same tokenizer. Heads and poolers always stay.
    """
    reading = read(small)
    config = large_config(small.config, reading.family, plan.large)
    model = new_model(config, reading.head, seed=plan.seed)
    shared = body_names(read(model), vocabulary=share_vocabulary)
    return WholeModel(model, plan.training.model_learning_rate, shared)
