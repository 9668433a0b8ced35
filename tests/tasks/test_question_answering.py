"""Question answering: where answers stand in tokens, which span is chosen, and how it is scored."""

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, GPT2Config

from fedgrow.data.examples import Examples, Question
from fedgrow.errors import FedgrowError
from fedgrow.tasks import TASKS
from fedgrow.tasks.answers import exact_match, overlap
from fedgrow.tasks.question_answering import LONGEST, OUTSIDE, Spans, Target, answer
from tests.tasks.making import codec, entry, tokenizer

TASK = TASKS["question-answering"]
PAIR = Question("one", "three four  two three", ((12, 21),))  # "two three"
UNANSWERED = Question("one two", "four", ())
SHARD = Examples([PAIR, UNANSWERED])


def made(folder, length: int = 20, **changes):
    who = entry(tokenizer=str(tokenizer(folder, mask=True)))
    return codec(TASK.name, SHARD, who, training={"max_length": length}, **changes)


def test_pairs_and_their_ends(tmp_path):
    it = made(tmp_path)
    inputs, targets = it.batch(it.encode(SHARD), [0, 1])
    assert inputs["input_ids"].tolist() == [[2, 4, 3, 6, 7, 5, 6], [2, 4, 5, 3, 7, 0, 0]]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 0, 0]]
    assert inputs["attention_mask"].tolist() == targets.real.int().tolist()
    assert targets.ends.tolist() == [[5, 6], [0, 0]]
    assert len(targets) == 2


def test_a_cut_off_answer_is_trained_as_none(tmp_path):
    it = made(tmp_path, length=6)
    assert [target.span for target in it.encode(SHARD).targets] == [(0, 0), (0, 0)]
    target = it.encode(SHARD).targets[0]
    assert len(target.offsets) == 6
    logits = torch.zeros(1, 6, 2)
    logits[0, 0] = 1  # no answer, as it was trained
    batch = it.batch(it.encode(SHARD), [0])[1]
    assert TASK.score([TASK.tally(logits, batch)]) == {"f1": 0.0, "exact_match": 0.0}


def test_spaces_around_an_answer_are_no_part_of_it(tmp_path):
    it = made(tmp_path)
    asked = Examples([Question("one", "three four ", ((5, 11),))])
    assert it.encode(asked).targets[0].span == (4, 4)


def test_a_learned_tokenizer_puts_its_end_token_around():
    it = codec(TASK.name, SHARD, entry())
    encoded = it.encode(SHARD)
    end = it.tokenizer.eos_token_id
    ids, target = encoded.inputs[0].tolist(), encoded.targets[0]
    assert [i for i, token in enumerate(ids) if token == end] == [0, target.segments.tolist().index(1) - 1]
    first, last = target.span
    assert PAIR.context[target.offsets[first][0] : target.offsets[last][1]] == "two three"
    assert it.tokenizer("one")["input_ids"][:1] != [end]  # single texts stay as they were


def test_the_saved_tokenizer_makes_the_same_pairs(tmp_path):
    it = codec(TASK.name, SHARD, entry())
    it.save(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    plain = again(PAIR.question, PAIR.context)
    assert plain["input_ids"] == it.encode(SHARD).inputs[0].tolist()
    assert plain["token_type_ids"] == it.encode(SHARD).targets[0].segments.tolist()


def test_a_model_is_not_told_the_parts_that_its_tokenizer_does_not_tell(tmp_path):
    """Else its answers in plain use would be others than those that were measured."""
    who = entry(tokenizer=str(tokenizer(tmp_path)))
    it = codec(TASK.name, SHARD, who, BertConfig(type_vocab_size=2))
    assert "token_type_ids" not in it.batch(it.encode(SHARD), [0])[0]


@pytest.mark.parametrize(
    ("config", "given"),
    [
        (BertConfig(type_vocab_size=2), True),
        (BertConfig(type_vocab_size=1), False),
        (GPT2Config(), False),
    ],
)
def test_only_models_that_tell_the_parts_apart_are_told_them(config, given):
    it = codec(TASK.name, SHARD, entry(), config)
    assert ("token_type_ids" in it.batch(it.encode(SHARD), [0])[0]) == given


def test_a_question_without_room_for_its_context_is_refused(tmp_path):
    it = made(tmp_path, length=4)
    with pytest.raises(FedgrowError, match=r"question of example 1 has 2 tokens.*training\.max_length"):
        it.encode(SHARD)


def test_a_tokenizer_without_a_token_to_put_between_is_refused(tmp_path):
    bare = AutoTokenizer.from_pretrained(tokenizer(tmp_path))
    bare.eos_token = None
    bare.backend_tokenizer.post_processor = None
    bare.save_pretrained(tmp_path)
    with pytest.raises(FedgrowError, match="ada: its tokenizer has neither a separator nor an end token"):
        codec(TASK.name, SHARD, entry(tokenizer=str(tmp_path)))


def test_the_loss_does_not_see_padding():
    logits = torch.randn(1, 4, 2, generator=torch.Generator().manual_seed(0))
    real = torch.tensor([[True, True, True, False]])
    found = TASK.loss(logits, Spans(torch.tensor([[1, 2]]), real, []))
    start, end = logits[0, :3].log_softmax(0).unbind(-1)
    torch.testing.assert_close(found, -(start[1] + end[2]) / 2)


# the span that is chosen

WORDS = "the red cat sat"
OFFSETS = [OUTSIDE, OUTSIDE, OUTSIDE, (0, 3), (4, 7), (8, 11), (12, 15)]


def chosen(start: dict[int, float], end: dict[int, float], asked: Question | None = None) -> str:
    logits = torch.full((len(OFFSETS) + 2, 2), -5.0)  # padded by two
    for column, values in enumerate((start, end)):
        for token, value in values.items():
            logits[token, column] = value
    target = Target(asked or Question("?", WORDS, ()), OFFSETS, (0, 0), torch.zeros(len(OFFSETS)))
    return answer(logits, target)


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ({4: 5}, {5: 5}, "red cat"),
        ({4: 5}, {4: 5}, "red"),
        ({5: 5, 4: 3}, {4: 5, 5: 2}, "red"),  # an end before its start is none: 3 + 5
        ({1: 9, 4: 5}, {2: 9, 5: 5}, "red cat"),  # the question is no answer
        ({7: 9, 4: 5}, {8: 9, 5: 5}, "red cat"),  # nor is padding
        ({0: 6, 4: 5}, {0: 6, 5: 5}, ""),
        ({0: 5, 4: 5}, {0: 5, 5: 5}, ""),  # as likely as the best
        ({0: 9, 4: 5}, {0: 0, 5: 5}, "red cat"),
    ],
)
def test_the_best_span(start, end, text):
    assert chosen(start, end) == text


def test_an_answer_is_at_most_so_long():
    count = LONGEST + 5
    context = "x " * count
    offsets = [OUTSIDE, *((2 * i, 2 * i + 1) for i in range(count))]
    logits = torch.full((count + 1, 2), -5.0)
    logits[1, 0] = logits[count, 1] = 5.0
    logits[LONGEST, 1] = 4.0
    target = Target(Question("?", context, ()), offsets, (0, 0), torch.zeros(count + 1))
    assert len(answer(logits, target).split()) == LONGEST


# metrics


@pytest.mark.parametrize(
    ("predicted", "true", "f1", "exact"),
    [
        ("The Cat!", "cat", 1, 1),
        ("a red cat", "the red dog", 0.5, 0),
        ("cat sat", "red cat sat down", 2 / 3, 0),
        ("cat cat", "cat", 2 / 3, 0),
        ("12:15pm.", "12:15pm", 1, 1),
        ("", "", 1, 1),
        ("", "cat", 0, 0),
        ("cat", "", 0, 0),
        ("the", "", 1, 1),  # SQuAD's script leaves nothing of an article either
    ],
)
def test_answers_are_held_against_the_true_ones_as_squad_does(predicted, true, f1, exact):
    assert overlap(predicted, true) == pytest.approx(f1)
    assert exact_match(predicted, true) == exact


def test_the_answer_that_fits_best_counts_and_scores_are_means():
    asked = Question("?", WORDS, ((12, 15), (4, 11)))  # "sat", "red cat"
    target = Target(asked, OFFSETS, (6, 6), torch.zeros(7))
    none = Target(Question("?", WORDS, ()), OFFSETS, (0, 0), torch.zeros(7))
    logits = torch.full((2, 7, 2), -5.0)
    logits[0, 4, 0] = logits[0, 5, 1] = 5.0
    logits[1, 0] = 5.0
    real = torch.ones(2, 7, dtype=torch.bool)
    both = TASK.tally(logits, Spans(torch.tensor([[6, 6], [0, 0]]), real, [target, none]))
    wrong = TASK.tally(logits[1:], Spans(torch.tensor([[6, 6]]), real[:1], [target]))
    found = TASK.score([both, wrong])
    assert found == {"f1": pytest.approx(2 / 3), "exact_match": pytest.approx(2 / 3)}
    assert tuple(found) == TASK.metrics
