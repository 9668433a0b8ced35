"""Token classification: one tag for each word of a text, such as parts of speech or named entities.

Words are joined by single spaces and tokenized as running text, so that token ids are those of the plain text with any
tokenizer, byte-level ones too. A word's tag stands on the first token that holds a character of it; other tokens, and
words that a tokenizer leaves nothing of, are not asked for. Only words within the longest length count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from fedgrow.data.examples import Examples, Tagged
from fedgrow.data.forms import TaggedWords
from fedgrow.errors import FedgrowError
from fedgrow.tasks.base import Codec, Encoded, Given, Task, pad
from fedgrow.tasks.classification import known_labels
from fedgrow.tasks.tokenized import LabelledCodec, max_length, with_offsets
from fedgrow.tasks.tokenizers import tokenizer_for

IGNORED = -100
OUTSIDE, ENTITY = "O", ("B-", "I-")


@dataclass(frozen=True)
class Tags:
    """The targets of a batch.

    Attributes:
        ids: tag ids at the words' first tokens, ``IGNORED`` elsewhere.
        names: the tags by id.
    """

    ids: Int[Tensor, "batch length"]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.ids)


class TokenClassification(Task):
    """F1, precision and recall, accuracy over words, and macro averages.

    Where tags mark entities (any begins with ``B-`` or ``I-``), F1, precision and recall are those of whole entities by
    the rules of seqeval (as conlleval's: a span and its type both have to be right), and macro averages go over types of
    entity. With plain tags they count words, where micro F1, precision and recall all equal the accuracy, and macro
    averages go over the tags that occur in targets or predictions. What has no entity scores 0.
    """

    name = "token-classification"
    form = TaggedWords()
    metrics = ("f1", "precision", "recall", "accuracy", "macro_f1", "macro_precision")

    def codec(self, given: Given) -> Codec:
        """Tokenize with the participant's own tokenizer; tags are its own.

        Raises:
            FedgrowError: the tokenizer does not say where its tokens stand, or tags mix two ways of marking.
        """
        found = {tag for row in given.shard.tagged for tag in row.tags}
        labels = known_labels(found, given.closed_labels, given.config)
        _check_scheme(labels)
        words = given.training.tagged
        tokenizer = tokenizer_for(given.participant, [row.text for row in words], given.plan.vocabulary.size)
        return TaggedCodec(
            with_offsets(tokenizer, given.participant, self.name),
            labels,
            max_length(given.plan, given.config),
        )

    def loss(self, logits: Tensor, targets: Tags) -> Tensor:
        """Return the mean cross entropy of words: logits (batch, length, tags)."""
        asked = targets.ids != IGNORED
        total = torch.nn.functional.cross_entropy(logits[asked], targets.ids[asked], reduction="sum")
        return total / asked.sum().clamp(min=1)  # a batch may hold no word that counts

    def tally(self, logits: Tensor, targets: Tags) -> Any:
        """Keep the tags of every text, true and predicted."""
        names = np.array(targets.names, dtype=object)
        asked, predicted = targets.ids != IGNORED, logits.argmax(-1)
        return is_entities(targets.names), [
            (names[true[here].numpy()].tolist(), names[guess[here].numpy()].tolist())
            for true, guess, here in zip(targets.ids, predicted, asked, strict=True)
        ]

    def score(self, tallies: Sequence[Any]) -> Mapping[str, float]:
        """Return the metrics of all words."""
        rows = [row for _, rows in tallies for row in rows]
        true, predicted = [t for t, _ in rows], [p for _, p in rows]
        return quality(true, predicted, entities=tallies[0][0])


def quality(
    true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], *, entities: bool
) -> dict[str, float]:
    """Return the metrics of predicted tags, one sequence a text; ``entities`` says what the tags mark."""
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as of_entities
    from sklearn.metrics import accuracy_score
    from sklearn.metrics import precision_recall_fscore_support as of_words

    flat_true, flat = ([tag for row in rows for tag in row] for rows in (true, predicted))
    if not entities:
        micro = of_words(flat_true, flat, average="micro", zero_division=0)
        macro = of_words(flat_true, flat, average="macro", zero_division=0)
    elif any(tag != OUTSIDE for tag in (*flat_true, *flat)):
        micro = of_entities(true, predicted, average="micro", zero_division=0)
        macro = of_entities(true, predicted, average="macro", zero_division=0)
    else:
        micro = macro = (0.0, 0.0, 0.0)
    return {
        "f1": float(micro[2]),
        "precision": float(micro[0]),
        "recall": float(micro[1]),
        "accuracy": float(accuracy_score(flat_true, flat)),
        "macro_f1": float(macro[2]),
        "macro_precision": float(macro[0]),
    }


def is_entities(names: Sequence[str]) -> bool:
    """Whether tags mark entities; the lone tag of a participant whose texts have none does."""
    return all(name == OUTSIDE or name.startswith(ENTITY) for name in names)


def _check_scheme(names: Sequence[str]) -> None:
    strange = [name for name in names if name != OUTSIDE and not name.startswith(ENTITY)]
    if strange and any(name.startswith(ENTITY) for name in names):
        raise FedgrowError(
            f"tags {', '.join(map(repr, strange[:5]))} stand beside tags that mark entities; expected {OUTSIDE!r}, or "
            f"a type after {' or '.join(map(repr, ENTITY))}; rename them in data.tags and data.labels"
        )


class TaggedCodec(LabelledCodec):
    """Token ids with padding on the right, and a tag id at each word's first token."""

    def encode(self, examples: Examples) -> Encoded:
        """Tokenize, cut to the longest length, and find the words' first tokens.

        Raises:
            FedgrowError: a tag is not among the model's, or no word at all is within the longest length.
        """
        rows = examples.tagged
        found = self.tokenizer(
            [row.text for row in rows],
            truncation=True,
            max_length=self.length,
            return_offsets_mapping=True,
        )
        known = {label: i for i, label in enumerate(self._labels)}
        tags = [
            _tag_ids(row, offsets, known, number)
            for number, (row, offsets) in enumerate(zip(rows, found["offset_mapping"], strict=True))
        ]
        if rows and not any((ids != IGNORED).any() for ids in tags):
            raise FedgrowError(
                f"of {len(rows)} texts no word is within {self.length} tokens; set training.max_length higher"
            )
        # an empty text still needs one token for a model to look at
        inputs = [torch.tensor(ids or [self.tokenizer.pad_token_id]) for ids in found["input_ids"]]
        return Encoded(inputs, tags)

    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, Tensor], Tags]:
        """Pad to the longest text of the batch."""
        rows = [encoded.inputs[i] for i in indices]
        mask = pad([torch.ones_like(row) for row in rows], 0)
        ids = pad(rows, self.tokenizer.pad_token_id)
        tags = pad([encoded.targets[i] for i in indices], IGNORED)
        return {"input_ids": ids, "attention_mask": mask}, Tags(tags, self._labels)


def _tag_ids(
    row: Tagged, offsets: Sequence[tuple[int, int]], known: Mapping[str, int], number: int
) -> Tensor:
    """Return the tag ids of one text's tokens; ``offsets`` are the characters of each in the joined words."""
    ids = torch.full((max(1, len(offsets)),), IGNORED)
    token, begin = 0, 0
    for word, tag in zip(row.words, row.tags, strict=True):
        if tag not in known:
            raise FedgrowError(
                f"tag {tag!r} (example {number}) is not among the model's labels {list(known)[:12]}; "
                "map the data's tags to the model's, or start from a model without a classifier"
            )
        end = begin + len(word)
        while token < len(offsets) and offsets[token][1] <= begin:  # of earlier words, or special: (0, 0)
            token += 1
        if token < len(offsets) and offsets[token][0] < end:
            ids[token] = known[tag]
            token += 1
        begin = end + 1
    return ids
