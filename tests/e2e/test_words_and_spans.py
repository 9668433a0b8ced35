"""Whole tiny runs of the tasks that look into a text: tags of words, and spans that answer a question."""

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification, AutoTokenizer

from fedgrow.tasks import TASKS
from tests.federation import run_tiny
from tests.tasks.files import slots, words

TEXTS = {"model_settings": {}, "vocabulary": {"size": 320}, "baselines": ["small"], "prepare": {"steps": 3}}
MODELS = {
    "token-classification": AutoModelForTokenClassification,
    "question-answering": AutoModelForQuestionAnswering,
}


def checked(summary, out, task):
    """Every participant's grown model loads and runs, and every metric of the task is there."""
    for values in (summary["grown"], summary["small"], summary["baselines"]["small"]):
        assert set(TASKS[task].metrics) <= set(values["metrics_mean"])
    for person in summary["participants"]:
        assert person["parity"]["max_abs"] < 1e-3  # post-norm starts are approximate
        where = out / "participants" / person["name"] / "model"
        model, own = MODELS[task].from_pretrained(where), AutoTokenizer.from_pretrained(where)
        with torch.no_grad():
            model(
                **{k: torch.tensor([v]) for k, v in own("Ada went to Rome").items() if k != "token_type_ids"}
            )
    return model


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_tags_of_words(tmp_path, family):
    data = {"source": str(words(tmp_path / "words.parquet")), "test_fraction": 0.4, "limit": 90}
    partition = {"kind": "dirichlet", "column": "site", "alpha": 5.0, "min_examples": 10}
    task = "token-classification"
    summary = run_tiny(tmp_path / "run", task=task, family=family, data=data, partition=partition, **TEXTS)
    model = checked(summary, tmp_path / "run", task)
    assert set(model.config.id2label.values()) == {"B-per", "B-loc", "O"}
    assert "f1 (mean" in (tmp_path / "run" / "report.md").read_text()


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_spans_that_answer_a_question(tmp_path, family):
    data = {"source": str(slots(tmp_path / "slots.parquet")), "test_fraction": 0.4}
    partition = {"kind": "column", "column": "question", "min_examples": 10}
    people = [
        {"name": "ada", "model": {"layers": 1, "width": 8, "heads": 2, "ffn": 8}},
        {"name": "bob", "model": {"layers": 2, "width": 8, "heads": 1, "ffn": 12}},
    ]
    task = "question-answering"
    settings = {"task": task, "family": family, "data": data, "partition": partition, "participants": people}
    summary = run_tiny(tmp_path / "run", **settings, **TEXTS)
    model = checked(summary, tmp_path / "run", task)
    assert model.config.num_labels == 2
