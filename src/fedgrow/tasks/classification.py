"""What text and image classification share: labels, cross entropy, accuracy, macro precision and macro F1."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedgrow.data.examples import Examples
from fedgrow.errors import FedgrowError
from fedgrow.tasks.base import Task


class Classification(Task):
    """One class per example."""

    metrics = ("accuracy", "macro_precision", "macro_f1")

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross entropy: logits (batch, classes), targets (batch)."""
        return torch.nn.functional.cross_entropy(logits, targets)

    def tally(self, logits: Tensor, targets: Tensor) -> Any:
        """Keep predictions and targets."""
        return logits.argmax(-1).numpy(), targets.numpy()

    def score(self, tallies: Sequence[Any]) -> Mapping[str, float]:
        """Return accuracy, and precision and F1 averaged over the classes that occur in targets or predictions."""
        predicted = np.concatenate([p for p, _ in tallies])
        true = np.concatenate([t for _, t in tallies])
        return quality(true, predicted)


def quality(true: Any, predicted: Any) -> dict[str, float]:
    """Return accuracy, macro precision and macro F1 of predicted classes."""
    from sklearn.metrics import accuracy_score, f1_score, precision_score  # here: most commands score nothing

    return {
        "accuracy": float(accuracy_score(true, predicted)),
        "macro_precision": float(precision_score(true, predicted, average="macro", zero_division=0)),
        "macro_f1": float(f1_score(true, predicted, average="macro", zero_division=0)),
    }


def class_labels(shard: Examples, closed: Sequence[str] | None, config: Any | None) -> list[str]:
    """Return a participant's labels: those its model already names, else the plan's closed list, else its shard's own."""
    if shard.labels is None:
        raise FedgrowError(
            "classification needs labels, but the data has no label column; name it as data.label"
        )
    return known_labels(set(shard.labels), closed, config)


def known_labels(found: Collection[str], closed: Sequence[str] | None, config: Any | None) -> list[str]:
    """Return the labels that a participant's model already names, else the plan's closed list, else those found."""
    named = [str(config.id2label[i]) for i in range(len(config.id2label))] if config is not None else []
    if named and not all(name == f"LABEL_{i}" for i, name in enumerate(named)):
        return named
    return list(closed) if closed else sorted(found)


def class_ids(examples: Examples, labels: Sequence[str]) -> Tensor:
    """Return class ids.

    Raises:
        FedgrowError: a label is not among the participant's labels; the text names it.
    """
    known = {label: i for i, label in enumerate(labels)}
    assert examples.labels is not None
    for row, label in enumerate(examples.labels):
        if label not in known:
            raise FedgrowError(
                f"label {label!r} (example {row}) is not among the model's labels {list(labels)[:12]}; "
                "map the data's labels to the model's, or start from a model without a classifier"
            )
    return torch.tensor([known[label] for label in examples.labels])


def label_config(labels: Sequence[str]) -> dict[str, Any]:
    """Return the configuration values that name the classes."""
    return {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
