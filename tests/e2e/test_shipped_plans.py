"""Every plan that ships runs: on tiny models and data that the test makes itself, and on real ones where they are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
)

from fedgrow.architectures.models import quiet
from fedgrow.config.load import load_plan
from fedgrow.federated.member import member_at
from fedgrow.federated.simulate import simulate
from tests.data.making import SHARED

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "under",
    "mat",
    "tree",
    "fast",
    "slow",
    "red",
    "blue",
    "big",
    "small",
]
QUICK = ["schedule.rounds=1", "schedule.steps=1", "prepare.steps=1"]


def run(name: str, out: Path, *settings: str) -> dict:
    member_at.cache_clear()
    return simulate(load_plan(name, [*QUICK, *settings]), out)


def texts(path: Path, count: int = 240) -> Path:
    rows = [" ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(3, 14)) for i in range(count)]
    pd.DataFrame({"text": rows, "label": [["news", "sport", "art"][i % 3] for i in range(count)]}).to_parquet(
        path
    )
    return path


def tiny_bert(folder: Path, **shape: int) -> Path:
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(
        folder
    )
    with quiet():
        BertModel(
            BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **shape),
            add_pooling_layer=False,
        ).save_pretrained(folder)
    return folder


def test_digits(tmp_path):
    summary = run("digits", tmp_path / "run")
    assert set(summary["baselines"]) == {"small", "independent", "fedavg"}


def test_text_bert(tmp_path):
    tiny = tiny_bert(
        tmp_path / "t", hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    small = tiny_bert(
        tmp_path / "s", hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    paths = {"tiny": tiny, "small": small, "medium": small, "data": texts(tmp_path / "texts.parquet")}
    settings = [f"paths.{key}={value}" for key, value in paths.items()]
    shape = "large={layers: 3, width: 32, heads: 4, ffn: 64}"
    summary = run("text-bert", tmp_path / "run", *settings, shape, "partition={kind: dirichlet, alpha: 5.0}")
    assert set(summary["baselines"]) == {"small", "independent", "fedavg", "tfidf"}
    where = tmp_path / "run" / summary["participants"][0]["model_dir"]
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(where)
    assert sorted(model.config.id2label.values()) == ["art", "news", "sport"]
    assert AutoTokenizer.from_pretrained(where)("the cat")["input_ids"]


def test_gpt2(tmp_path):
    settings = [f"paths.data={texts(tmp_path / 'texts.parquet')}", "training.max_length=16"]
    summary = run("gpt2", tmp_path / "run", *settings)
    where = tmp_path / "run" / summary["participants"][0]["model_dir"]
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(where)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert AutoTokenizer.from_pretrained(where)("the cat")["input_ids"]
    for person in summary["participants"]:
        assert person["start"]["metrics"]["perplexity"] == pytest.approx(
            person["small"]["metrics"]["perplexity"], rel=1e-4
        )


def run_a_few(name: str, out: Path, *settings: str) -> dict:
    """Run the published setting with its first four participants: all depths are among them."""
    plan = load_plan(name, [*QUICK, "schedule.local_steps=1", "partition={kind: iid}", *settings])
    member_at.cache_clear()
    return simulate(plan.model_copy(update={"participants": plan.participants[:4]}), out)


@pytest.mark.slow
def test_the_published_setting_on_images(tmp_path):
    rng = np.random.default_rng(0)
    file, count = tmp_path / "images.npz", 160
    np.savez(file, image=rng.integers(0, 255, (count, 28, 28)).astype(np.uint8), label=np.arange(count) % 10)
    settings = [f"paths.data={file}", f"data.limit={count}", "training.batch_size=2"]
    summary = run_a_few("published", tmp_path / "run", *settings)
    share = summary["parameters"]["global_operator"] / summary["parameters"]["large"]
    assert (
        0.1 < share < 0.13
    )  # readers share the writers' maps (F = E), so it is less than with maps of their own


@pytest.mark.slow
def test_the_published_setting_on_texts(tmp_path):
    data = [f"paths.data={texts(tmp_path / 'texts.parquet', 160)}", "data.limit=160", "vocabulary.size=300"]
    few = ["training={batch_size: 2, max_length: 8}"]
    summary = run_a_few("published-text", tmp_path / "run", *data, *few)
    assert len(summary["participants"]) == 4


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="real models and data are not here")
def test_text_bert_with_real_models_starts_at_the_small_models_quality(tmp_path):
    names = {"tiny": "bert-tiny-l2-h128", "small": "minilm-l3-h384"}
    data = f"paths.data={SHARED / 'text' / 'package_descriptions.parquet'}"
    few = [
        "partition.max_examples=100",
        "participants="
        + str([{"name": key, "model": str(SHARED / "models" / value)} for key, value in names.items()]),
    ]
    summary = run("text-bert", tmp_path / "run", data, *few, "baselines=[tfidf]")
    for person in summary["participants"]:
        assert person["parity"]["max_abs"] < 1e-4
        assert person["start"]["metrics"]["accuracy"] == person["small"]["metrics"]["accuracy"]
