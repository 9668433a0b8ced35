"""Question answering: the span of a context that answers a question, or none; slots of an utterance are asked likewise.

A question and its context are one sequence. Where the tokenizer puts nothing around the two (GPT-2's, and one learned in
the run), a special token is put before each. Contexts are cut to the longest length, never questions. An answer that is
cut off is trained as no answer, and in the metrics the prediction is still held against its true text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import AutoConfig

from fedgrow.architectures import families
from fedgrow.architectures.models import quiet
from fedgrow.config.plan import ParticipantPlan, Plan
from fedgrow.data.examples import Examples, Question
from fedgrow.data.forms import Questions
from fedgrow.errors import FedgrowError
from fedgrow.tasks.answers import exact_match, overlap
from fedgrow.tasks.base import Codec, Encoded, Given, Task, pad
from fedgrow.tasks.classification import label_config
from fedgrow.tasks.tokenized import TokenizedCodec, max_length, with_offsets
from fedgrow.tasks.tokenizers import tokenizer_for

LONGEST = 30  # tokens of a predicted answer, as in the field's scripts for SQuAD
NO_ANSWER = (0, 0)  # tokens: the first one, which is never of the context
OUTSIDE = (0, 0)  # characters of a token that is not of the context


@dataclass(frozen=True)
class Target:
    """What is asked of one example.

    Attributes:
        asked: the example.
        offsets: for every token its first character in the context and the one after its last; ``OUTSIDE`` for others.
        span: the answer's first and last token; both 0, where no context ever is, for no answer.
        segments: for every token whether it belongs to the question's part (0) or the context's (1).
    """

    asked: Question
    offsets: Sequence[tuple[int, int]]
    span: tuple[int, int]
    segments: Int[Tensor, " length"]


@dataclass(frozen=True)
class Spans:
    """The targets of a batch: the answers' first and last tokens, which tokens are no padding, and the examples."""

    ends: Int[Tensor, "batch 2"]
    real: Bool[Tensor, "batch length"]
    examples: Sequence[Target]

    def __len__(self) -> int:
        return len(self.examples)


class QuestionAnswering(Task):
    """F1 of words shared with the answer, and exact match, both as SQuAD defines them, from 0 to 1.

    No answer is predicted where position 0 scores at least as high as the best span (SQuAD 2.0's rule, threshold 0).
    """

    name = "question-answering"
    form = Questions()
    metrics = ("f1", "exact_match")

    def codec(self, given: Given) -> Codec:
        """Tokenize with the participant's own tokenizer.

        Raises:
            FedgrowError: the tokenizer does not say where its tokens stand, or has no token to put before a context.
        """
        rows = given.training.asked
        texts = [*dict.fromkeys(row.context for row in rows), *dict.fromkeys(row.question for row in rows)]
        segments = _has_segments(given.plan, given.config)
        tokenizer = tokenizer_for(given.participant, texts, given.plan.vocabulary.size, segments=segments)
        tokenizer = with_offsets(tokenizer, given.participant, self.name)
        separate(tokenizer, given.participant)
        # a model is told what its tokenizer says in plain use, and no more
        segments = segments and "token_type_ids" in tokenizer.model_input_names
        return SpanCodec(tokenizer, max_length(given.plan, given.config), segments=segments)

    def loss(self, logits: Tensor, targets: Spans) -> Tensor:
        """Return the mean cross entropy of first and last tokens: logits (batch, length, 2)."""
        logits = logits.masked_fill(~targets.real[..., None], float("-inf"))
        return torch.nn.functional.cross_entropy(logits, targets.ends)

    def tally(self, logits: Tensor, targets: Spans) -> Any:
        """Keep F1 and exact match of every example, against whichever of its answers fits best."""
        rows = []
        for scores, target in zip(logits, targets.examples, strict=True):
            text, true = answer(scores, target), target.asked.answers or [""]
            rows.append((max(overlap(text, t) for t in true), max(exact_match(text, t) for t in true)))
        return rows

    def score(self, tallies: Sequence[Any]) -> Mapping[str, float]:
        """Return the means over all examples."""
        rows = [row for tally in tallies for row in tally]
        return {name: sum(row[i] for row in rows) / len(rows) for i, name in enumerate(("f1", "exact_match"))}


def answer(logits: Tensor, target: Target) -> str:
    """Return the best span's text; empty for no answer. Logits (at least as many as tokens, 2)."""
    start, end = logits[: len(target.offsets)].unbind(-1)
    inside = torch.tensor([offset != OUTSIDE for offset in target.offsets])
    scores = start[:, None] + end[None, :]
    allowed = inside[:, None] & inside[None, :]
    allowed &= torch.ones_like(allowed).triu() & torch.ones_like(allowed).tril(LONGEST - 1)
    scores = scores.masked_fill(~allowed, float("-inf"))
    best = int(scores.argmax())
    first, last = divmod(best, len(inside))
    if scores[first, last] <= start[0] + end[0]:
        return ""
    return target.asked.context[target.offsets[first][0] : target.offsets[last][1]]


def separate(tokenizer: Any, participant: ParticipantPlan) -> None:
    """Have a tokenizer that puts nothing around two texts put a special token before each; the tokenizer is changed.

    Raises:
        FedgrowError: it has no special token for it.
    """
    if tokenizer.num_special_tokens_to_add(pair=True):
        return
    between = tokenizer.sep_token or tokenizer.eos_token
    first = tokenizer.cls_token or tokenizer.bos_token or between
    if between is None:
        raise FedgrowError(
            f"participant {participant.name}: its tokenizer has neither a separator nor an end token to put between "
            "question and context; add one, or name another tokenizer as participants[].tokenizer"
        )
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A",
        pair=f"{first}:0 $A:0 {between}:0 $B:1",
        special_tokens=[(token, tokenizer.convert_tokens_to_ids(token)) for token in {first, between}],
    )


def _has_segments(plan: Plan, config: Any | None) -> bool:
    """Whether the model tells the two texts apart by an embedding of their own, as BERT does."""
    if config is None:
        made = AutoConfig.for_model(families()[plan.family or ""].model_type)
        return int(plan.model_settings.get("type_vocab_size", getattr(made, "type_vocab_size", 0))) > 1
    return getattr(config, "type_vocab_size", 0) > 1


class SpanCodec(TokenizedCodec):
    """Token ids of question and context with padding on the right, and where the answer begins and ends."""

    def __init__(self, tokenizer: Any, length: int, *, segments: bool) -> None:
        super().__init__(tokenizer, length)
        self.segments = segments

    def encode(self, examples: Examples) -> Encoded:
        """Tokenize pairs, cut the contexts, and find the answers' tokens.

        Raises:
            FedgrowError: a question leaves no room for its context.
        """
        rows = examples.asked
        self._check_room(rows)
        found = self.tokenizer(
            [row.question for row in rows],
            [row.context for row in rows],
            truncation="only_second",
            max_length=self.length,
            return_offsets_mapping=True,
            return_token_type_ids=True,
        )
        targets = [
            _target(row, found.sequence_ids(i), found["offset_mapping"][i], found["token_type_ids"][i])
            for i, row in enumerate(rows)
        ]
        return Encoded([torch.tensor(ids) for ids in found["input_ids"]], targets)

    def _check_room(self, rows: Sequence[Question]) -> None:
        with quiet():  # it would warn of texts longer than the model's positions
            questions = self.tokenizer([row.question for row in rows], add_special_tokens=False)["input_ids"]
        special = self.tokenizer.num_special_tokens_to_add(pair=True)
        for number, ids in enumerate(questions):
            if len(ids) + special >= self.length:
                raise FedgrowError(
                    f"the question of example {number} has {len(ids)} tokens, {special} more come around it and its "
                    f"context, and {self.length} leave no room for the context; set training.max_length higher"
                )

    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, Tensor], Spans]:
        """Pad to the longest pair of the batch."""
        rows = [encoded.inputs[i] for i in indices]
        targets = [encoded.targets[i] for i in indices]
        mask = pad([torch.ones_like(row) for row in rows], 0)
        inputs = {"input_ids": pad(rows, self.tokenizer.pad_token_id), "attention_mask": mask}
        if self.segments:
            inputs["token_type_ids"] = pad([target.segments for target in targets], 0)
        return inputs, Spans(torch.tensor([target.span for target in targets]), mask.bool(), targets)

    def config_values(self) -> dict[str, Any]:
        """Two outputs a token, and what follows from the tokenizer."""
        return label_config(("LABEL_0", "LABEL_1")) | super().config_values()


def _target(
    asked: Question,
    sequences: Sequence[int | None],
    offsets: Sequence[tuple[int, int]],
    segments: Sequence[int],
) -> Target:
    inside = [
        _trimmed(asked.context, *offset) if sequence == 1 else OUTSIDE
        for sequence, offset in zip(sequences, offsets, strict=True)
    ]
    span = _tokens(inside, _trimmed(asked.context, *asked.spans[0])) if asked.spans else NO_ANSWER
    return Target(asked, inside, span, torch.tensor(segments))


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """Return a token's characters without the spaces that some tokenizers count to it; ``OUTSIDE`` if none is left."""
    while start < end and context[start].isspace():
        start += 1
    while start < end and context[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else OUTSIDE


def _tokens(offsets: Sequence[tuple[int, int]], span: tuple[int, int]) -> tuple[int, int]:
    """Return an answer's first and last token; no answer where it is not all there."""
    start, end = span
    here = [i for i, (a, b) in enumerate(offsets) if a < b and a < end and b > start]
    whole = bool(here) and max(b for _, b in offsets) >= end
    return (here[0], here[-1]) if whole else NO_ANSWER
