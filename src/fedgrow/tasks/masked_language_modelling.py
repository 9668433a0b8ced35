"""Masked language modelling: blocks of text with some tokens hidden; perplexity and accuracy on the hidden ones.

Perplexities of different tokenizers do not compare with each other, only with the same participant's.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fedgrow.data.examples import Examples
from fedgrow.data.forms import Texts
from fedgrow.errors import FedgrowError
from fedgrow.seeds import DATA, derive
from fedgrow.tasks.base import Codec, Encoded, Given, Task
from fedgrow.tasks.causal_language_modelling import blocks
from fedgrow.tasks.tokenized import TokenizedCodec, max_length
from fedgrow.tasks.tokenizers import tokenizer_for

SHARE = 0.15  # of a block's tokens that are to be predicted (Devlin et al., NAACL 2019)
MASKED, REPLACED = 0.8, 0.1  # of those; the rest stays as it is
IGNORED = -100
MASK = "<mask>"


class MaskedLanguageModelling(Task):
    """Prediction of hidden tokens from both sides."""

    name = "masked-language-modelling"
    form = Texts()
    metrics = ("perplexity", "accuracy")

    def codec(self, given: Given) -> Codec:
        """Tokenize with the participant's own tokenizer, into blocks of the plan's longest length.

        Raises:
            FedgrowError: the tokenizer of a model has no token for what is hidden.
        """
        tokenizer = tokenizer_for(given.participant, given.training.texts, given.plan.vocabulary.size)
        if tokenizer.mask_token is None:
            if given.config is not None or given.participant.tokenizer:
                raise FedgrowError(
                    f"participant {given.participant.name}: its tokenizer has no mask token, which {self.name} needs; "
                    "name a tokenizer that has one, or train for causal-language-modelling"
                )
            tokenizer.add_special_tokens({"mask_token": MASK})
        return MaskedCodec(tokenizer, max_length(given.plan, given.config), given.plan.seed)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross entropy of hidden tokens: logits (batch, length, vocabulary), targets (batch, length)."""
        hidden = targets != IGNORED
        total = torch.nn.functional.cross_entropy(logits[hidden], targets[hidden], reduction="sum")
        return total / hidden.sum().clamp(min=1)  # a batch may hold no token that can be hidden

    def tally(self, logits: Tensor, targets: Tensor) -> Any:
        """Keep the summed loss, the number of hidden tokens, and how many were guessed."""
        hidden = targets != IGNORED
        count = int(hidden.sum())
        right = int((logits[hidden].argmax(-1) == targets[hidden]).sum())
        return float(self.loss(logits, targets)) * count, count, right

    def score(self, tallies: Sequence[Any]) -> Mapping[str, float]:
        """Return the perplexity (exp of the mean loss per hidden token), and the share of hidden tokens guessed."""
        loss, count, right = (sum(column) for column in zip(*tallies, strict=True))
        return {"perplexity": math.exp(min(loss / count, 700.0)), "accuracy": right / count}


class MaskedCodec(TokenizedCodec):
    """Texts joined and cut into blocks; what is hidden follows from the seed and from which blocks make a batch."""

    def __init__(self, tokenizer: Any, length: int, seed: int) -> None:
        super().__init__(tokenizer, length)
        self.seed = seed

    def encode(self, examples: Examples) -> Encoded:
        """Tokenize, join, cut, and begin and end every block as the tokenizer's model is used to.

        Raises:
            FedgrowError: there is not even one block, or no token that can be hidden.
        """
        first, last = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        begin, end = ([] if token is None else [token] for token in (first, last))
        closing = self.tokenizer.eos_token_id if last is None else last
        inner = self.length - len(begin) - len(end)
        cut = blocks(self.tokenizer, examples.texts, closing, inner)
        if not any(bool((~self._special(row)).any()) for row in cut):
            raise FedgrowError(
                f"of {len(examples)} texts every token is a special one; the tokenizer does not know what they are written "
                "in: name another one as participants[].tokenizer"
            )
        return Encoded([torch.cat([torch.tensor(begin), row, torch.tensor(end)]).long() for row in cut], None)

    def _special(self, ids: Tensor) -> Tensor:
        return torch.isin(ids, torch.tensor(self.tokenizer.all_special_ids))

    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tensor]:
        """Stack blocks and hide some tokens of each; targets are these tokens, and ``IGNORED`` elsewhere."""
        ids = torch.stack([encoded.inputs[i] for i in indices])
        generator = torch.Generator().manual_seed(derive(self.seed, DATA, *map(int, indices)))
        order = torch.rand(ids.shape, generator=generator)
        order[self._special(ids)] = 2.0  # never hidden
        count = max(1, round(SHARE * ids.shape[1]))
        hidden = torch.zeros_like(ids, dtype=torch.bool).scatter_(1, order.argsort(1)[:, :count], True)
        hidden &= order < 2.0
        targets = torch.where(hidden, ids, IGNORED)
        draw = torch.rand(ids.shape, generator=generator)
        words = torch.randint(len(self.tokenizer), ids.shape, generator=generator)
        ids = torch.where(hidden & (draw < MASKED), self.tokenizer.mask_token_id, ids)
        return {"input_ids": torch.where(hidden & (draw >= 1 - REPLACED), words, ids)}, targets
