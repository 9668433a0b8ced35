"""What a task is: how a participant's raw examples become batches, the loss, and the field's metrics."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fedgrow.config.plan import ParticipantPlan, Plan
from fedgrow.data.examples import Examples
from fedgrow.data.forms import Form


@dataclass(frozen=True)
class Encoded:
    """Examples as tensors.

    Attributes:
        inputs: one tensor each: token ids, or an image.
        targets: what the task's codec makes batches of targets from, such as class ids, (examples); None if inputs do.
    """

    inputs: Sequence[Tensor]
    targets: Any

    def __len__(self) -> int:
        return len(self.inputs)


class Codec(ABC):
    """A participant's private way from raw examples to a model's inputs: tokenizer or image processor, and labels."""

    @abstractmethod
    def encode(self, examples: Examples) -> Encoded:
        """Turn raw examples into tensors.

        Raises:
            FedgrowError: an example cannot be encoded, such as a label that the model does not have.
        """

    @abstractmethod
    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, Tensor], Any]:
        """Collate some examples into the model's keyword arguments and the targets.

        Targets are a tensor, or whatever else the task's loss and tally take, of the batch's length.
        """

    @abstractmethod
    def config_values(self) -> dict[str, Any]:
        """Return the Hugging Face configuration values that follow from the data (labels, vocabulary, image size)."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the tokenizer or image processor beside a model."""

    def vocabulary_digest(self) -> str | None:
        """Return a digest of the vocabulary; None where there is none."""
        return None

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes; empty where the task has none."""
        return ()


@dataclass(frozen=True)
class Given:
    """What a participant's codec is made from.

    Attributes:
        plan: the run's plan.
        participant: the participant's entry in it.
        shard: all of the participant's examples (training and held out).
        config: configuration of its small model; None if the model is made in the run.
        train: its training examples, the only ones that a tokenizer is learned from; None: the shard.
    """

    plan: Plan
    participant: ParticipantPlan
    shard: Examples
    config: Any | None
    train: Examples | None = None

    @property
    def training(self) -> Examples:
        """The examples that a tokenizer may be learned from."""
        return self.shard if self.train is None else self.train

    @property
    def closed_labels(self) -> Sequence[str] | None:
        """The closed list of labels that the participant's data names, if any."""
        data = self.participant.data or self.plan.data
        return data.labels if data else None


class Task(ABC):
    """One task; its name is also the name of its head in the family tables, its form says what columns it reads."""

    name: ClassVar[str]
    form: ClassVar[Form]
    metrics: ClassVar[tuple[str, ...]]
    lower_is_better: ClassVar[tuple[str, ...]] = ("loss", "perplexity")
    reads_text: ClassVar[bool] = True

    def higher_is_better(self, metric: str) -> bool:
        """Whether more of a metric is better."""
        return metric not in self.lower_is_better

    @abstractmethod
    def codec(self, given: Given) -> Codec:
        """Make a participant's codec."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Any) -> Float[Tensor, ""]:
        """Return the mean loss of a batch."""

    @abstractmethod
    def tally(self, logits: Tensor, targets: Any) -> Any:
        """Reduce a batch to what the metrics need."""

    @abstractmethod
    def score(self, tallies: Sequence[Any]) -> Mapping[str, float]:
        """Compute the metrics of all batches together, one for every name in ``metrics``."""


def pad(rows: Sequence[Tensor], value: int) -> Int[Tensor, "batch length"]:
    """Pad rows of token ids on the right to a common length."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
