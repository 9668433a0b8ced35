"""``fedgrow learn`` for the tasks that look into a text, and how their columns are named."""

import json

import pandas as pd
import pytest
from transformers import AutoTokenizer

import fedgrow
from fedgrow.errors import FedgrowError
from fedgrow.tasks import TASKS
from fedgrow.tasks.tokenizers import learn
from tests.architectures.folders import folder
from tests.tasks.files import slots, words
from tests.tasks.making import tokenizer


def test_learning_alone(run, tmp_path):
    _, small = folder(tmp_path / "bert", "bert-body")
    options = ("--steps", 2, "--batch-size", 8, "--max-length", 16, "--to", "layers=3", "--json")
    named = ("--tokenizer", tokenizer(tmp_path / "tokenizer", mask=True))
    for task, data in (
        ("token-classification", words(tmp_path / "words.parquet")),
        ("question-answering", slots(tmp_path / "slots.parquet")),
    ):
        outcome = run(
            "learn", small, "--data", data, "--task", task, "--out", tmp_path / task, *named, *options
        )
        assert outcome.code == 0, outcome.stderr
        assert set(TASKS[task].metrics) <= set(json.loads(outcome.stdout)["metrics"]["operator"])


def test_columns_are_named_one_by_one(run, tmp_path):
    _, small = folder(tmp_path / "bert", "bert-body")
    frame = pd.read_parquet(words(tmp_path / "words.parquet"))
    frame.rename(columns={"tokens": "a", "tags": "b"}).to_parquet(tmp_path / "words.parquet")
    options = ("learn", small, "--data", tmp_path / "words.parquet", "--to", "layers=3", "--steps", 1)
    options += ("--task", "token-classification", "--out", tmp_path / "out")
    options += ("--tokenizer", tokenizer(tmp_path / "tokenizer"))
    assert "--column words= is not set" in run(*options).stderr
    assert "expected ROLE=NAME" in run(*options, "--column", "a").stderr
    assert "'word' is no role of a column" in run(*options, "--column", "word=a").stderr
    outcome = run(*options, "--column", "words=a", "--column", "tags=b")
    assert outcome.code == 0, outcome.stderr


def test_a_role_is_checked_in_python_too(tmp_path):
    with pytest.raises(FedgrowError, match="columns: 'word' is no role"):
        fedgrow.learn("x", data="y", to="layers=3", out=tmp_path / "out", columns={"word": "a"})


def test_the_tokenizer_is_saved_as_it_was_trained_with(run, tmp_path):
    """Of its own it sets nothing around a pair; for questions it has to."""
    _, small = folder(tmp_path / "gpt2", "gpt2-body", vocab_size=320)
    learn(["some words for a vocabulary"] * 4, 300).save_pretrained(small)
    options = ("--steps", 1, "--batch-size", 4, "--max-length", 32, "--to", "layers=3")
    data = slots(tmp_path / "slots.parquet")
    outcome = run(
        "learn", small, "--data", data, "--task", "question-answering", "--out", tmp_path / "out", *options
    )
    assert outcome.code == 0, outcome.stderr
    saved = json.loads((tmp_path / "out" / "tokenizer.json").read_text("utf-8"))
    assert saved["truncation"] is saved["padding"] is None
    before, after = (AutoTokenizer.from_pretrained(at) for at in (small, tmp_path / "out"))
    assert len(after("a", "b")["input_ids"]) == len(before("a", "b")["input_ids"]) + 2
