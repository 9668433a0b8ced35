"""Text classification: one class per text."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedgrow.data.examples import Examples
from fedgrow.data.forms import LabelledTexts
from fedgrow.tasks.base import Codec, Encoded, Given, pad
from fedgrow.tasks.classification import Classification, class_ids, class_labels
from fedgrow.tasks.tokenized import LabelledCodec, max_length
from fedgrow.tasks.tokenizers import tokenizer_for


class SequenceClassification(Classification):
    """Accuracy, macro precision and macro F1 over a participant's own labels."""

    name = "sequence-classification"
    form = LabelledTexts()

    def codec(self, given: Given) -> Codec:
        """Tokenize with the participant's own tokenizer; labels are its own."""
        labels = class_labels(given.shard, given.closed_labels, given.config)
        tokenizer = tokenizer_for(given.participant, given.training.texts, given.plan.vocabulary.size)
        return TextCodec(tokenizer, labels, max_length(given.plan, given.config))


class TextCodec(LabelledCodec):
    """Token ids with padding on the right, and class ids."""

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
