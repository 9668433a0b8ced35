"""Causal language modelling: texts joined and cut into blocks; perplexity on the participant's own tokens.

Perplexities of different tokenizers do not compare with each other, only with the same participant's.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fedgrow.architectures.models import quiet
from fedgrow.data.examples import Examples
from fedgrow.data.forms import Texts
from fedgrow.errors import FedgrowError
from fedgrow.tasks.base import Codec, Encoded, Given, Task
from fedgrow.tasks.tokenized import TokenizedCodec, max_length
from fedgrow.tasks.tokenizers import tokenizer_for


class CausalLanguageModelling(Task):
    """Next-token prediction."""

    name = "causal-language-modelling"
    form = Texts()
    metrics = ("perplexity",)

    def codec(self, given: Given) -> Codec:
        """Tokenize with the participant's own tokenizer, into blocks of the plan's longest length."""
        tokenizer = tokenizer_for(given.participant, given.training.texts, given.plan.vocabulary.size)
        return BlockCodec(tokenizer, max_length(given.plan, given.config))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of the next token: logits (batch, length, vocabulary), targets (batch, length)."""
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())

    def tally(self, logits: Tensor, targets: Tensor) -> Any:
        """Keep the summed loss and the number of predicted tokens."""
        count = targets[:, 1:].numel()
        return float(self.loss(logits, targets)) * count, count

    def score(self, tallies: Sequence[Any]) -> Mapping[str, float]:
        """Return the perplexity: exp of the mean loss per predicted token."""
        return {"perplexity": math.exp(min(sum(t for t, _ in tallies) / sum(n for _, n in tallies), 700.0))}


class BlockCodec(TokenizedCodec):
    """Texts, each closed by the end token, joined and cut into blocks of equal length; the rest is dropped."""

    def encode(self, examples: Examples) -> Encoded:
        """Tokenize, join and cut.

        Raises:
            FedgrowError: there is not even one block.
        """
        return Encoded(blocks(self.tokenizer, examples.texts, self.tokenizer.eos_token_id, self.length), None)

    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Stack blocks; the targets are the blocks themselves."""
        ids = torch.stack([encoded.inputs[i] for i in indices])
        return {"input_ids": ids}, ids


def blocks(tokenizer: Any, texts: Sequence[str], end: int | None, length: int) -> list[Tensor]:
    """Tokenize texts, each closed by ``end`` if there is one, join them, and cut them into blocks; the rest is dropped.

    Raises:
        FedgrowError: there is not even one block.
    """
    closing = [] if end is None else [end]
    with quiet():  # it would warn of texts longer than the model's positions
        rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    stream = torch.tensor([token for row in rows for token in [*row, *closing]], dtype=torch.long)
    count = len(stream) // length if length > 0 else 0
    if not count:
        raise FedgrowError(
            f"{len(texts)} texts hold {len(stream)} tokens, fewer than one block of {length}; "
            "give this participant more text or set training.max_length lower"
        )
    return list(stream[: count * length].reshape(count, length))
