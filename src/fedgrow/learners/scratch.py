"""The large model from scratch, its body averaged: what Fed-Grow is measured against (FedAvg, McMahan et al., 2017)."""

from collections.abc import Collection

from torch import nn

from fedgrow.architectures import read
from fedgrow.architectures.configuration import with_shape
from fedgrow.architectures.models import new_model
from fedgrow.config.plan import Plan
from fedgrow.growth.depth import source_layers
from fedgrow.learners.whole_model import WholeModel


def scratch(small: nn.Module, plan: Plan, *, shared: Collection[str]) -> WholeModel:
    """Make a participant's large model with fresh weights.

    Args:
        small: the participant's small model: only its configuration is used.
        plan: the resolved plan.
        shared: names of the tensors that are averaged.
    """
    reading = read(small)
    layers = source_layers(reading.shape.layers, plan.large.layers)
    config = with_shape(small.config, reading.family, plan.large, layers=layers)
    model = new_model(config, reading.head, seed=plan.seed)
    return WholeModel(model, plan.training.model_learning_rate, shared, plan.training.head_learning_rate)
