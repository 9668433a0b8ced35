"""The one interface that local training, evaluation and the federation see."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.func import functional_call

from fedgrow.architectures.outputs import tensor_of

Tensors = dict[str, Tensor]
Phase = Literal["local", "grow", "joint"]


@dataclass(frozen=True)
class Group:
    """Tensors that are trained with one step size; names of shared and private tensors never collide."""

    names: tuple[str, ...]
    learning_rate: float


class Learner(ABC):
    """A participant's trainable function of shared tensors (they travel) and private ones (they stay)."""

    @abstractmethod
    def shared_start(self) -> Tensors:
        """Return the shared tensors that everyone starts from."""

    @abstractmethod
    def private_start(self) -> Tensors:
        """Return the private tensors at the start."""

    @abstractmethod
    def groups(self, phase: Phase) -> list[Group]:
        """Return what a phase trains; everything else stays as it is."""

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

    def logits(
        self, weights: Mapping[str, Tensor], inputs: Mapping[str, Tensor], *, training: bool
    ) -> Tensor:
        """Run the model functionally: no weight is copied into the module."""
        self.module.train(training)
        return tensor_of(functional_call(self.module, dict(weights), (), dict(inputs)))
