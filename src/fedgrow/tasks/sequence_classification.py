"""Text classification: one class per text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedgrow.config.plan import ParticipantPlan, Plan
from fedgrow.data.examples import Examples
from fedgrow.tasks.base import Codec, Encoded, pad
from fedgrow.tasks.classification import Classification, class_ids, class_labels, label_config
from fedgrow.tasks.tokenizers import digest, tokenizer_for


class SequenceClassification(Classification):
    """Accuracy, macro precision and macro F1 over a participant's own labels."""

    name = "sequence-classification"

    def codec(
        self,
        plan: Plan,
        participant: ParticipantPlan,
        shard: Examples,
        config: Any | None,
        train: Examples | None = None,
    ) -> Codec:
        """Tokenize with the participant's own tokenizer; labels are its own."""
        data = participant.data or plan.data
        labels = class_labels(shard, data.labels if data else None, config)
        tokenizer = tokenizer_for(
            participant, (shard if train is None else train).texts, plan.vocabulary.size
        )
        return TextCodec(tokenizer, labels, max_length(plan, config))


def max_length(plan: Plan, config: Any | None) -> int:
    """Return the longest sequence in tokens: the plan's, or fewer if the model has fewer positions."""
    positions = getattr(config, "max_position_embeddings", None) if config is not None else None
    return min(plan.training.max_length, positions or plan.training.max_length)


class TextCodec(Codec):
    """Token ids with padding on the right, and class ids."""

    def __init__(self, tokenizer: Any, labels: Sequence[str], length: int) -> None:
        self.tokenizer, self._labels, self.length = tokenizer, labels, length

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes."""
        return self._labels

    def encode(self, examples: Examples) -> Encoded:
        """Tokenize, cut to the longest length."""
        rows = self.tokenizer(examples.texts, truncation=True, max_length=self.length)["input_ids"]
        # an empty text still needs one token for a model to look at
        tensors = [torch.tensor(row or [self.tokenizer.pad_token_id]) for row in rows]
        return Encoded(tensors, class_ids(examples, self._labels))

    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Pad to the longest text of the batch."""
        assert encoded.targets is not None
        rows = [encoded.inputs[i] for i in indices]
        mask = pad([torch.ones_like(row) for row in rows], 0)
        ids = pad(rows, self.tokenizer.pad_token_id)
        return {"input_ids": ids, "attention_mask": mask}, encoded.targets[torch.tensor(indices)]

    def config_values(self) -> dict[str, Any]:
        """Labels, vocabulary size and padding."""
        return label_config(self._labels) | {
            "vocab_size": len(self.tokenizer),
            "pad_token_id": self.tokenizer.pad_token_id,
            "bos_token_id": self.tokenizer.bos_token_id,
            "eos_token_id": self.tokenizer.eos_token_id,
            "max_position_embeddings": self.length,
        }

    def save(self, folder: Path) -> None:
        """Write the tokenizer."""
        self.tokenizer.save_pretrained(folder)

    def vocabulary_digest(self) -> str | None:
        """Return a digest of the tokenizer's vocabulary."""
        return digest(self.tokenizer)
