"""What codecs of text tasks share: a tokenizer and a longest length."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedgrow.architectures import family_of
from fedgrow.architectures.configuration import longest_text
from fedgrow.config.plan import ParticipantPlan, Plan
from fedgrow.errors import FedgrowError
from fedgrow.tasks.base import Codec
from fedgrow.tasks.classification import label_config
from fedgrow.tasks.tokenizers import digest


def max_length(plan: Plan, config: Any | None) -> int:
    """Return the longest sequence in tokens: the plan's, or fewer if the model has fewer positions."""
    most = None if config is None else longest_text(family_of(config), config)
    return min(plan.training.max_length, most or plan.training.max_length)


class TokenizedCodec(Codec):
    """A codec around a tokenizer."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        self.tokenizer, self.length = tokenizer, length

    def config_values(self) -> dict[str, Any]:
        """Vocabulary size, special tokens and positions."""
        return {
            "vocab_size": len(self.tokenizer),
            "bos_token_id": self.tokenizer.bos_token_id,
            "eos_token_id": self.tokenizer.eos_token_id,
            "pad_token_id": self.tokenizer.pad_token_id,
            "max_position_embeddings": self.length,
        }

    def save(self, folder: Path) -> None:
        """Write the tokenizer, without the longest length that it was last used with."""
        if self.tokenizer.is_fast:
            self.tokenizer.backend_tokenizer.no_truncation()
            self.tokenizer.backend_tokenizer.no_padding()
        self.tokenizer.save_pretrained(folder)

    def vocabulary_digest(self) -> str | None:
        """Return a digest of the tokenizer's vocabulary."""
        return digest(self.tokenizer)


class LabelledCodec(TokenizedCodec):
    """A codec around a tokenizer, and labels."""

    def __init__(self, tokenizer: Any, labels: Sequence[str], length: int) -> None:
        super().__init__(tokenizer, length)
        self._labels = labels

    @property
    def labels(self) -> Sequence[str]:
        """Names of the labels."""
        return self._labels

    def config_values(self) -> dict[str, Any]:
        """Labels, and what follows from the tokenizer."""
        return label_config(self._labels) | super().config_values()


def with_offsets(tokenizer: Any, participant: ParticipantPlan, task: str) -> Any:
    """Return a tokenizer that says which characters a token stands for.

    Raises:
        FedgrowError: it does not.
    """
    if not tokenizer.is_fast:
        raise FedgrowError(
            f"participant {participant.name}: its tokenizer ({type(tokenizer).__name__}) does not say which characters "
            f"a token stands for, which {task} needs; put the tokenizer.json of a fast one beside the model, or name "
            "another one as participants[].tokenizer"
        )
    return tokenizer
