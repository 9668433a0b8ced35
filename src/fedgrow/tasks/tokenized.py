"""What codecs of text tasks share: a tokenizer and a longest length."""

from pathlib import Path
from typing import Any

from fedgrow.config.plan import ParticipantPlan, Plan
from fedgrow.errors import FedgrowError
from fedgrow.tasks.base import Codec
from fedgrow.tasks.tokenizers import digest


def max_length(plan: Plan, config: Any | None) -> int:
    """Return the longest sequence in tokens: the plan's, or fewer if the model has fewer positions."""
    positions = getattr(config, "max_position_embeddings", None) if config is not None else None
    return min(plan.training.max_length, positions or plan.training.max_length)


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
        """Write the tokenizer."""
        self.tokenizer.save_pretrained(folder)

    def vocabulary_digest(self) -> str | None:
        """Return a digest of the tokenizer's vocabulary."""
        return digest(self.tokenizer)


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
