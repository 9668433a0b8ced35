"""Causal language modelling: texts joined and cut into blocks."""

import pytest

from fedgrow.data.examples import Examples
from fedgrow.errors import FedgrowError
from tests import tiny
from tests.architectures.folders import SHAPE
from tests.tasks.making import codec, entry, tokenizer

TASK = "causal-language-modelling"
SHARD = Examples(["one two", "three", "four four four"])


def blocks(folder, length: int, config=None):
    return codec(
        TASK, SHARD, entry(tokenizer=str(tokenizer(folder))), config, training={"max_length": length}
    )


def test_texts_are_closed_joined_and_cut(tmp_path):
    rows = blocks(tmp_path, 3).encode(SHARD).inputs
    assert [row.tolist() for row in rows] == [[4, 5, 3], [6, 3, 7], [7, 7, 3]]


def test_what_does_not_fill_a_block_is_dropped(tmp_path):
    assert [row.tolist() for row in blocks(tmp_path, 4).encode(SHARD).inputs] == [[4, 5, 3, 6], [3, 7, 7, 7]]


def test_targets_are_the_blocks_themselves(tmp_path):
    made = blocks(tmp_path, 3)
    inputs, targets = made.batch(made.encode(SHARD), [2, 0])
    assert targets.tolist() == inputs["input_ids"].tolist() == [[7, 7, 3], [4, 5, 3]]


def test_too_little_text_is_refused_with_both_counts(tmp_path):
    with pytest.raises(
        FedgrowError, match=r"3 texts hold 9 tokens, fewer than one block of 10; .*max_length"
    ):
        blocks(tmp_path, 10).encode(SHARD)


def test_blocks_are_no_longer_than_the_models_positions(tmp_path):
    made = blocks(tmp_path, 64, tiny.config("gpt2", SHAPE, n_positions=4))
    assert made.length == 4


def test_a_model_made_in_the_run_has_as_many_positions_as_a_block():
    values = codec(TASK, SHARD, entry(), training={"max_length": 5}).config_values()
    assert values["max_position_embeddings"] == 5
    assert values["vocab_size"] >= 258


def test_labels_are_not_needed(tmp_path):
    assert blocks(tmp_path, 3).encode(SHARD).targets is None
    assert blocks(tmp_path, 3).labels == ()
