"""The longest text that a model takes, made in the run or loaded."""

import pytest
from transformers import BertConfig, RobertaConfig

from fedgrow.architectures import Shape, families
from fedgrow.architectures.configuration import new_config
from fedgrow.architectures.models import new_model
from fedgrow.tasks.tokenized import max_length
from tests.tasks.making import codec, entry, plan, texts

SMALL = Shape(layers=1, width=8, heads=2, ffn=8)
LONG = texts("one two three four " * 20, "two " * 40)


@pytest.mark.parametrize("name", ["bert", "distilbert", "electra", "roberta"])
def test_a_model_made_in_the_run_takes_the_longest(name):
    """RoBERTa numbers positions from the one after the padding token's id."""
    it = codec("sequence-classification", LONG, entry(), training={"max_length": 16})
    made = new_model(
        new_config(families()[name], SMALL, it.config_values()), "sequence-classification", seed=0
    )
    inputs, _ = it.batch(it.encode(LONG), [0, 1])
    assert inputs["input_ids"].shape == (2, 16)
    assert made(**inputs).logits.shape == (2, 1)


@pytest.mark.parametrize(("made", "longest"), [(BertConfig, 20), (RobertaConfig, 18)])
def test_a_loaded_model_takes_no_more_than_it_has_positions_for(made, longest):
    config = made(max_position_embeddings=20, pad_token_id=1)
    assert max_length(plan("sequence-classification", training={"max_length": 64}), config) == longest
