"""Tokenizers: learned from a participant's own texts, or loaded."""

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from fedgrow.architectures import Shape
from fedgrow.errors import FedgrowError
from fedgrow.tasks import TASKS, Given
from fedgrow.tasks.tokenizers import digest, learn, tokenizer_for
from tests import tiny
from tests.tasks.making import entry, plan, texts, tokenizer

SMALL = Shape(layers=1, width=8, heads=2, ffn=8)

TEXTS = ["the cat sat on the mat", "the dog ran to the cat", "a bird, a tree: naïve façade 🐦"] * 4


def test_learning_is_deterministic():
    assert digest(learn(TEXTS, 320)) == digest(learn(TEXTS, 320))


def test_the_digest_is_the_same_on_every_machine():
    assert digest(learn(TEXTS, 320)) == "fce4f5eaf945b2809580e1e225a5048ce4d3ce8e406ce84668817ae11e5f8b0a"


def test_other_texts_give_another_vocabulary():
    assert digest(learn(TEXTS, 320)) != digest(learn(["quite other words, quite other pairs"] * 4, 320))


def test_the_vocabulary_is_no_larger_than_asked_for():
    assert 300 <= len(learn(TEXTS, 310)) <= 310


def test_every_text_comes_back_whole():
    learned = learn(TEXTS, 320)
    strange = "Ω naïve\n🐦 \t unseen"
    assert learned.decode(learned(strange)["input_ids"]) == strange


def test_padding_and_end_are_different_tokens():
    learned = learn(TEXTS, 320)
    assert (learned.pad_token_id, learned.eos_token_id, learned.bos_token_id) == (0, 1, 1)


def test_a_model_made_in_the_run_learns_its_own():
    assert digest(tokenizer_for(entry(), TEXTS, 320)) == digest(learn(TEXTS, 320))


def test_a_folders_own_is_loaded(tmp_path):
    assert tokenizer_for(entry(tokenizer(tmp_path)), TEXTS, 320).get_vocab()["three"] == 6


def test_a_named_one_comes_before_the_one_beside_the_model(tmp_path):
    named = entry(tmp_path / "model", tokenizer=str(tokenizer(tmp_path / "named")))
    assert len(tokenizer_for(named, TEXTS, 320)) == 8


def test_without_a_pad_token_the_end_token_serves(tmp_path):
    assert tokenizer_for(entry(tokenizer(tmp_path, pad=False)), TEXTS, 320).pad_token == "[SEP]"


def test_a_folder_without_one_is_refused_with_the_participants_name(tmp_path):
    with pytest.raises(FedgrowError, match=r"participant ada: no tokenizer at .*participants\[\]\.tokenizer"):
        tokenizer_for(entry(tmp_path), TEXTS, 320)


@pytest.mark.parametrize("task", ["sequence-classification", "causal-language-modelling"])
def test_it_is_learned_from_training_texts_only(task):
    seen, held_out = texts(*TEXTS), texts("quite other words, quite other pairs " * 9)
    shard = texts(*seen.texts, *held_out.texts)
    made = TASKS[task].codec(Given(plan(task, vocabulary={"size": 320}), entry(), shard, None, seen))
    assert made.vocabulary_digest() == digest(learn(TEXTS, 320))


def test_a_model_folder_without_a_tokenizer_is_refused(tmp_path):
    """transformers makes an empty one of it, for which every word is unknown."""
    tiny.model("bert", SMALL).save_pretrained(tmp_path)
    with pytest.raises(FedgrowError, match=r"there is no tokenizer at .*participants\[\]\.tokenizer"):
        tokenizer_for(entry(tmp_path), ["a text"], 300)


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    words = Tokenizer(WordLevel({"a": 0, "b": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    with pytest.raises(FedgrowError, match="neither a padding nor an end token"):
        tokenizer_for(entry(tokenizer=str(tmp_path)), ["a text"], 300)


def test_a_tokenizer_of_another_release_is_refused(tmp_path):
    tokenizer(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text(file.read_text().replace('"WordLevel"', '"NotYetKnown"'))
    with pytest.raises(FedgrowError, match=r"participant ada: no tokenizer at .*; put tokenizer\.json there"):
        tokenizer_for(entry(tmp_path), TEXTS, 300)
