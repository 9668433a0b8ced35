"""The one interface that local training, evaluation and the federation see."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fedgrow.architectures import Reading
from fedgrow.architectures.outputs import tensor_of
from fedgrow.learners.frozen import bring_buffers
from fedgrow.tasks.base import Task

Tensors = dict[str, Tensor]
Phase = Literal["local", "grow", "joint"]


@dataclass(frozen=True)
class Group:
    """Tensors that are trained with one step size; names of shared and private tensors never collide."""

    names: tuple[str, ...]
    learning_rate: float


def whole(x: Tensor) -> Tensor:
    """Return half-precision values, of a forward pass under autocast, in float32; others as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class Learner(ABC):
    """A participant's trainable function of shared tensors (they travel) and private ones (they stay).

    Attributes:
        reading: what the model is that it begins with.
    """

    reading: Reading

    @abstractmethod
    def shared_start(self) -> Tensors:
        """Return the shared tensors that everyone starts from."""

    @abstractmethod
    def private_start(self) -> Tensors:
        """Return the private tensors at the start."""

    @abstractmethod
    def groups(self, phase: Phase) -> list[Group]:
        """Return what a phase trains; everything else stays as it is."""

    def trained(self) -> int:
        """Count the numbers that are trained in any phase."""
        start: Tensors = {**self.shared_start(), **self.private_start()}
        phases: tuple[Phase, ...] = ("local", "grow", "joint")
        names = {name for phase in phases for group in self.groups(phase) for name in group.names}
        return sum(start[name].numel() for name in names)

    @abstractmethod
    def weights(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> Tensors:
        """Return the model's weights as ``logits`` takes them, differentiable in both arguments."""

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The Hugging Face module that ``weights`` are passed to."""

    @abstractmethod
    def materialise(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> nn.Module:
        """Return an ordinary Hugging Face model that holds its own weights."""

    def loss(
        self,
        task: Task,
        weights: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        inputs: Mapping[str, Tensor],
        targets: Any,
    ) -> Tensor:
        """Return what a training step makes smaller: the task's loss, unless a method has more to say.

        Args:
            task: the task.
            weights: the model's weights, from ``weights``.
            state: all shared and private tensors as they are.
            inputs: the model's keyword arguments.
            targets: what it should say.
        """
        logits = whole(self.logits(weights, inputs, training=True))
        if isinstance(targets, Tensor):
            return task.loss(logits, targets.to(logits.device))
        return task.loss(logits.cpu(), targets)

    def sent(self, shared: Tensors, private: Tensors) -> Tensors:
        """Return what goes to the server after a round of training: the shared tensors."""
        return shared

    def logits(
        self, weights: Mapping[str, Tensor], inputs: Mapping[str, Tensor], *, training: bool
    ) -> Tensor:
        """Run the model functionally: no weight is copied into the module."""
        self.module.train(training)
        bring_buffers(self.module, next(iter(inputs.values())).device)
        return tensor_of(functional_call(self.module, dict(weights), (), dict(inputs)))
