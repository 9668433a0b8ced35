"""Token classification: where a word's tag stands, what is asked, and how it is scored."""

import pytest
import torch
from seqeval.metrics import f1_score, precision_score, recall_score
from transformers import BertConfig, ByT5Tokenizer

from fedgrow.data.examples import Examples, Tagged
from fedgrow.errors import FedgrowError
from fedgrow.tasks import TASKS
from fedgrow.tasks.token_classification import IGNORED, TaggedCodec, Tags, is_entities, quality
from fedgrow.tasks.tokenizers import learn
from tests import tiny
from tests.architectures.folders import SHAPE as TINY
from tests.tasks.making import codec, entry, tokenizer

TASK = TASKS["token-classification"]


def tagged(*rows: tuple[str, str]) -> Examples:
    return Examples([Tagged(tuple(words.split()), tuple(tags.split())) for words, tags in rows])


SHARD = tagged(("one two three", "NUM NUM X"), ("four", "NUM"), ("two four", "X X"))


def made(folder, shard: Examples = SHARD, length: int = 20, **changes) -> TaggedCodec:
    return codec(
        TASK.name, shard, entry(tokenizer=str(tokenizer(folder))), training={"max_length": length}, **changes
    )


def test_tags_stand_on_words_and_nothing_special(tmp_path):
    it = made(tmp_path)
    inputs, tags = it.batch(it.encode(SHARD), [0, 1])
    assert it.labels == ["NUM", "X"]
    assert inputs["input_ids"].tolist() == [[2, 4, 5, 6, 3], [2, 7, 3, 0, 0]]
    assert inputs["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert tags.ids.tolist() == [[IGNORED, 0, 0, 1, IGNORED], [IGNORED, 0, IGNORED, IGNORED, IGNORED]]
    assert len(tags) == 2


def test_a_learned_tokenizer_tags_the_first_piece_of_each_word():
    texts = ["the cat sat on the mat", "a dog ran to the cat"] * 4
    it = TaggedCodec(learn(texts, 320), ["A", "B"], 40)
    row = Tagged(("the", "zebra", "cat", "naïve🐦", "!"), ("A", "B", "A", "B", "A"))
    ids, tags = (x[0] for x in (lambda e: (e.inputs, e.targets))(it.encode(Examples([row]))))
    assert ids.tolist() == it.tokenizer(row.text)["input_ids"]  # as running text
    pieces = it.tokenizer.convert_ids_to_tokens(ids)
    asked = [i for i, tag in enumerate(tags.tolist()) if tag != IGNORED]
    assert tags[asked].tolist() == [0, 1, 0, 1, 0]
    assert [pieces[i].strip("Ġ")[:1] for i in asked] == ["t", "z", "c", "n", "!"]


def test_whole_words_stand_where_word_ids_says(tmp_path):
    it = made(tmp_path)
    words = ["one", "three", "one"]
    reference = it.tokenizer(words, is_split_into_words=True)
    encoded = it.encode(Examples([Tagged(tuple(words), ("X", "NUM", "X"))]))
    assert encoded.inputs[0].tolist() == reference["input_ids"]
    firsts = [reference.word_ids().index(i) for i in range(3)]
    assert [i for i, tag in enumerate(encoded.targets[0]) if tag != IGNORED] == firsts


def test_only_words_within_the_longest_length_count(tmp_path):
    it = made(tmp_path, length=4)
    encoded = it.encode(SHARD)
    assert encoded.inputs[0].tolist() == [2, 4, 5, 3]
    assert encoded.targets[0].tolist() == [IGNORED, 0, 0, IGNORED]


def test_a_length_without_room_for_a_word_is_refused(tmp_path):
    it = made(tmp_path, length=2)
    with pytest.raises(FedgrowError, match=r"3 texts no word is within 2 tokens; set training\.max_length"):
        it.encode(SHARD)


def test_the_loss_is_of_words_only():
    logits = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[IGNORED, 1, IGNORED]])
    expected = torch.nn.functional.cross_entropy(logits[0, 1:2], torch.tensor([1]))
    torch.testing.assert_close(TASK.loss(logits, Tags(ids, "ab")), expected)
    assert float(TASK.loss(logits, Tags(torch.full((1, 3), IGNORED), "ab"))) == 0


def test_padding_does_not_change_a_text(tmp_path):
    it = made(tmp_path)
    model = tiny.model("bert", TINY).eval()
    encoded = it.encode(SHARD)
    together, alone = (it.batch(encoded, rows)[0] for rows in ([1, 0], [1]))
    hidden = [model.bert(**inputs).last_hidden_state[0, :3] for inputs in (together, alone)]
    torch.testing.assert_close(*hidden)


# metrics


def scores(labels: list[str], *rows: tuple[str, str]) -> dict[str, float]:
    """Score true and predicted tags by way of logits, one batch a row."""
    tallies = []
    for true, predicted in rows:
        ids = torch.tensor([[IGNORED, *(labels.index(t) for t in true.split()), IGNORED]])
        guess = torch.tensor([[0, *(labels.index(t) for t in predicted.split()), 0]])
        logits = torch.nn.functional.one_hot(guess, len(labels)).float()
        tallies.append(TASK.tally(logits, Tags(ids, labels)))
    found = dict(TASK.score(tallies))
    assert tuple(found) == TASK.metrics
    return found


def test_plain_tags_by_hand():
    """A: 2 of 2 found, and one more; B: 1 of 2; so precision 2/3 and 1, recall 1 and 1/2."""
    found = scores(["A", "B", "C"], ("A A B", "A A A"), ("B", "B"))
    assert found["f1"] == found["precision"] == found["recall"] == found["accuracy"] == 0.75
    assert found["macro_precision"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_entities_by_hand():
    """Three entities, two predicted, one of them right; a span that is too short counts for nothing."""
    labels = ["B-per", "B-loc", "I-per", "I-loc", "O"]
    found = scores(labels, ("B-per I-per O B-loc", "B-per O O B-loc"), ("B-loc I-loc", "O O"))
    assert (found["precision"], found["recall"]) == (1 / 2, 1 / 3)
    assert found["f1"] == pytest.approx(0.4)
    assert found["accuracy"] == 3 / 6
    assert found["macro_precision"] == pytest.approx((1 + 0) / 2)  # one loc of one right, no per of one
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize("labels", [["O"], ["O", "B-x", "I-x"]])
def test_texts_without_entities_score_nothing_whatever_tags_a_participant_knows(labels):
    tags = [["O", "O"], ["O"]]
    assert quality(tags, tags, entities=is_entities(labels))["f1"] == 0
    assert not is_entities(["DET", "NOUN"])


def test_entities_as_seqeval_counts_them():
    true = [["B-a", "I-a", "O", "B-b"], ["O", "B-b", "B-b", "I-b"]]
    predicted = [["I-a", "I-a", "I-b", "I-b"], ["O", "B-b", "I-b", "I-b"]]  # ill-formed, too
    found = quality(true, predicted, entities=True)
    for name, function in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        assert found[name] == pytest.approx(float(function(true, predicted)))
    assert found["macro_f1"] == pytest.approx(float(f1_score(true, predicted, average="macro")))


@pytest.mark.parametrize("predicted", ["O O", "B-a O"])
def test_no_entity_scores_zero_and_warns_of_nothing(predicted):
    found = scores(["B-a", "O"], ("O O", predicted))
    assert found["f1"] == found["macro_f1"] == found["macro_precision"] == 0


# refusals


def test_tags_of_two_kinds_are_refused(tmp_path):
    with pytest.raises(FedgrowError, match=r"tags 'NOUN' stand beside.*data\.tags"):
        made(tmp_path, tagged(("one two three", "B-x NOUN O")))


def test_the_tags_of_a_model_come_first_and_an_unknown_one_is_refused(tmp_path):
    config = BertConfig(id2label={0: "X", 1: "Y"})
    it = codec(TASK.name, SHARD, entry(tokenizer=str(tokenizer(tmp_path))), config)
    assert it.labels == ["X", "Y"]
    with pytest.raises(FedgrowError, match=r"tag 'NUM' \(example 0\).*\['X', 'Y'\]"):
        it.encode(SHARD)


def test_a_tokenizer_without_offsets_is_refused(monkeypatch):
    monkeypatch.setattr("fedgrow.tasks.token_classification.tokenizer_for", lambda *_: ByT5Tokenizer())
    with pytest.raises(
        FedgrowError, match=r"ada: its tokenizer \(ByT5Tokenizer\) does not say.*tokenizer\.json"
    ):
        codec(TASK.name, SHARD, entry())
