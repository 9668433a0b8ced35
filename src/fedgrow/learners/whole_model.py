"""Whole-model training: every weight of an ordinary model is trained; the baselines are made of it."""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedgrow.architectures import Reading, read
from fedgrow.architectures.models import empty_model, unfilled_model
from fedgrow.learners.base import Group, Learner, Phase, Tensors


class WholeModel(Learner):
    """A model whose weights are all trained; ``shared`` names those that travel (none by default).

    Args:
        model: the model at the start.
        learning_rate: AdamW's step size.
        shared: names of the tensors that are averaged.
        head_rate: the step size of head and pooler; default: that of all others.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float,
        shared: Collection[str] = (),
        head_rate: float | None = None,
    ) -> None:
        self.reading = read(model)
        self.config: Any = model.config
        tied = self.reading.tied
        self.start = {n: p.detach() for n, p in model.state_dict().items() if n not in tied}
        self.shared_names = tuple(n for n in self.start if n in shared)
        self.learning_rate = learning_rate
        self.head_rate = learning_rate if head_rate is None else head_rate
        self._module = empty_model(self.config, self.reading.head)

    @property
    def module(self) -> nn.Module:
        """The module without weights."""
        return self._module

    def shared_start(self) -> Tensors:
        """Return the weights that travel."""
        return {n: self.start[n] for n in self.shared_names}

    def private_start(self) -> Tensors:
        """Return the weights that stay."""
        return {n: p for n, p in self.start.items() if n not in self.shared_names}

    def groups(self, phase: Phase) -> list[Group]:
        """Train everything in every phase."""
        if self.head_rate == self.learning_rate:
            return [Group(tuple(self.start), self.learning_rate)]
        heads = head_names(self.reading)
        body, head = (tuple(n for n in self.start if (n in heads) is its) for its in (False, True))
        return [Group(body, self.learning_rate), Group(head, self.head_rate)]

    def weights(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> Tensors:
        """Put shared and private weights together, ties included."""
        weights = {**shared, **private}
        return weights | {name: weights[source] for name, source in self.reading.tied.items()}

    def materialise(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> nn.Module:
        """Return an ordinary model."""
        return filled_model(self.config, self.reading.head, self.weights(shared, private))


def filled_model(config: Any, head: str | None, weights: Mapping[str, Tensor]) -> nn.Module:
    """Build an ordinary Hugging Face model and load these weights into it."""
    model = unfilled_model(config, head, torch.float32)
    model.load_state_dict({name: w.detach() for name, w in weights.items()}, strict=True)
    return model


def body_names(reading: Reading, *, vocabulary: bool) -> list[str]:
    """Return the full names of a model's body tensors, with or without tables over the vocabulary."""
    return [
        name
        for spec in reading.specs
        if spec.part == "body" and (vocabulary or "vocab" not in spec.axes)
        for name in spec.names(reading.shape)
    ]


def head_names(reading: Reading) -> set[str]:
    """Return the full names of the tensors of a model's head and pooler."""
    return {name for spec in reading.specs if spec.part != "body" for name in spec.names(reading.shape)}
