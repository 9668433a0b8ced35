"""Text classification: tokens, padding, truncation."""

import pytest
import torch

from tests import tiny
from tests.architectures.folders import SHAPE
from tests.tasks.making import codec, entry, texts, tokenizer

TASK = "sequence-classification"
SHARD = texts("one", "one two three", "two two", labels=["a", "b", "a"])


@pytest.fixture
def made(tmp_path):
    return codec(TASK, SHARD, entry(tokenizer=str(tokenizer(tmp_path))))


def test_texts_become_the_tokenizers_ids(made):
    assert [row.tolist() for row in made.encode(SHARD).inputs] == [[2, 4, 3], [2, 4, 5, 6, 3], [2, 5, 5, 3]]


def test_a_batch_is_padded_on_the_right_and_masked(made):
    inputs, targets = made.batch(made.encode(SHARD), [1, 0])
    assert inputs["input_ids"].tolist() == [[2, 4, 5, 6, 3], [2, 4, 3, 0, 0]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert targets.tolist() == [1, 0]


def test_a_batch_is_padded_no_further_than_its_longest_text(made):
    assert made.batch(made.encode(SHARD), [0])[0]["input_ids"].shape == (1, 3)


def test_padding_does_not_change_the_logits(made):
    model = tiny.model("bert", SHAPE)
    encoded = made.encode(SHARD)
    together = tiny.logits(model, made.batch(encoded, [0, 1])[0])[0]
    alone = tiny.logits(model, made.batch(encoded, [0])[0])[0]
    assert torch.allclose(together, alone, atol=1e-9)


def test_long_texts_are_cut_to_the_plans_length(tmp_path):
    long = texts("one two three four " * 9)
    made = codec(TASK, long, entry(tokenizer=str(tokenizer(tmp_path))), training={"max_length": 6})
    row = made.encode(long).inputs[0].tolist()
    assert (len(row), row[0], row[-1]) == (6, 2, 3)


def test_long_texts_are_cut_to_the_models_positions(tmp_path):
    long = texts("one two three four " * 9)
    config = tiny.config("bert", SHAPE)
    made = codec(TASK, long, entry(tokenizer=str(tokenizer(tmp_path))), config, training={"max_length": 64})
    assert len(made.encode(long).inputs[0]) == tiny.POSITIONS


def test_a_text_without_tokens_is_one_pad():
    shard = texts("", "word", labels=["a", "b"])
    made = codec(TASK, shard, entry())
    inputs, _ = made.batch(made.encode(shard), [0])
    assert inputs["input_ids"].tolist() == [[made.tokenizer.pad_token_id]]


def test_config_values_describe_the_data(made):
    values = made.config_values()
    assert (values["vocab_size"], values["pad_token_id"]) == (8, 0)
    assert (values["id2label"], values["label2id"]) == ({0: "a", 1: "b"}, {"a": 0, "b": 1})


def test_it_is_saved_beside_a_model_and_reads_the_same(made, tmp_path):
    made.save(tmp_path / "model")
    again = codec(TASK, SHARD, entry(tokenizer=str(tmp_path / "model")))
    assert again.vocabulary_digest() == made.vocabulary_digest()
    assert [row.tolist() for row in again.encode(SHARD).inputs] == [
        r.tolist() for r in made.encode(SHARD).inputs
    ]
