"""A small model held near the classes' common mean features: what FedProto's participants train.

Tan et al., AAAI 2022. Widths differ, so features meet at one dimension by adaptive average pooling, as libraries of
federated learning with unlike models do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, mse_loss

from fedgrow.learners.base import Tensors, whole
from fedgrow.learners.features import classifier_of, frozen_features, with_features
from fedgrow.learners.whole_model import WholeModel
from fedgrow.tasks.base import Codec, Encoded, Task

PROTOTYPES, COUNTS = "prototypes", "counts"


def pooled(features: Float[Tensor, "batch width"], dimension: int) -> Float[Tensor, "batch dimension"]:
    """Average neighbouring entries of features down to a common dimension."""
    return adaptive_avg_pool1d(features[:, None], dimension)[:, 0]


def class_means(
    features: Float[Tensor, "examples dimension"], classes: Int[Tensor, " examples"], count: int
) -> Tensors:
    """Return the mean feature of every class and how many examples it has; zeros where it has none."""
    counts = torch.bincount(classes, minlength=count).double()
    sums = torch.zeros(count, features.shape[1], dtype=torch.float64).index_add_(
        0, classes, features.double()
    )
    return {PROTOTYPES: (sums / counts.clamp(min=1)[:, None]).float(), COUNTS: counts.float()}


def average(sent: Sequence[Mapping[str, Tensor]], held: Mapping[str, Tensor]) -> Tensors:
    """Average prototypes class by class over those who have the class, by their numbers of its examples.

    Args:
        sent: what participants sent.
        held: what there was before; a class that no one has stays as it was.
    """
    counts = torch.stack([one[COUNTS].double() for one in sent])
    sums = torch.stack([one[PROTOTYPES].double() for one in sent]) * counts[..., None]
    total = counts.sum(0)
    means, sent_now = (sums.sum(0) / total.clamp(min=1)[:, None]).float(), total > 0
    return {
        PROTOTYPES: torch.where(sent_now[:, None], means, held[PROTOTYPES]),
        COUNTS: torch.where(sent_now, total.float(), held[COUNTS]),
    }


def nothing_yet(classes: int, dimension: int) -> Tensors:
    """Return the prototypes before the first round: no class has one."""
    return {PROTOTYPES: torch.zeros(classes, dimension), COUNTS: torch.zeros(classes)}


class Prototypical(WholeModel):
    """A small model whose features are pulled towards the prototypes of their classes.

    Args:
        model: the small model, with its head.
        learning_rate: AdamW's step size.
        data: the participant's training examples, of which it makes its prototypes.
        codec: collates batches.
        batch_size: examples at a time while prototypes are made.
        numbers: for every class of the participant its number in the common list.
        classes: how many classes the common list has.
        dimension: the dimension at which features are compared.
        pull: weight of the pull (the paper's lambda).
        head_rate: the step size of head and pooler; default: that of all others.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float,
        data: Encoded,
        codec: Codec,
        batch_size: int,
        *,
        numbers: Sequence[int],
        classes: int,
        dimension: int,
        pull: float,
        head_rate: float | None = None,
    ) -> None:
        super().__init__(model, learning_rate, head_rate=head_rate)
        self.data, self.codec, self.batch_size = data, codec, batch_size
        self.numbers = torch.tensor(numbers)
        self.classes, self.dimension, self.pull = classes, dimension, pull
        self.classifier = classifier_of(self.module, self.reading)

    def shared_start(self) -> Tensors:
        """Return a table without prototypes: what travels is a table of this size."""
        return nothing_yet(self.classes, self.dimension)

    def weights(self, shared: Mapping[str, Tensor], private: Mapping[str, Tensor]) -> Tensors:
        """Return the model's weights, all of them private."""
        return super().weights({}, private)

    def loss(
        self,
        task: Task,
        weights: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        inputs: Mapping[str, Tensor],
        targets: Any,
    ) -> Tensor:
        """Return the task's loss and the pull; an example whose class has no prototype adds nothing to the latter."""
        logits, feature = with_features(
            self.module, self.classifier.path, lambda: self.logits(weights, inputs, training=True), inputs
        )
        feature = pooled(feature, self.dimension)
        classes = self.numbers[targets]
        known = state[COUNTS][classes] > 0
        aim = torch.where(known[:, None], state[PROTOTYPES][classes], feature)
        loss: Tensor = task.loss(whole(logits), targets.to(logits.device)) + self.pull * mse_loss(
            feature, aim
        )
        return loss

    def sent(self, shared: Tensors, private: Tensors) -> Tensors:
        """Return the participant's own prototypes after training, with the number of examples of every class."""
        model = self.materialise(shared, private)
        features = frozen_features(model, self.classifier.path, self.data, self.codec, self.batch_size)
        return class_means(pooled(features, self.dimension), self.numbers[self.data.targets], self.classes)
