"""All data in one place: one head for all labels, everyone's steps, and a ceiling where there is something to learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from fedgrow.approaches import BASELINES
from fedgrow.approaches.pooled import Pooled, codec_for_all, labels_of_all, model_for_all
from fedgrow.architectures.models import quiet
from fedgrow.data.joined import joined
from fedgrow.errors import FedgrowError
from fedgrow.federated.carry_out import prepared_sites
from fedgrow.federated.outlook import outlook
from fedgrow.federated.resolve import resolve
from fedgrow.federated.simulate import forget, simulate
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder
from tests.approaches.test_common_model import BERT, LANGUAGE, texts
from tests.e2e.test_shipped_plans import tiny_bert
from tests.federation import PLAN, tiny_plan
from tests.tasks.files import slots, words
from tests.tasks.making import tokenizer

SKEWED = {
    "data": {"source": "bundled:digits", "limit": 240, "test_fraction": 0.4},
    "partition": {"kind": "dirichlet", "alpha": 0.3, "min_examples": 10},
}


def people(tmp_path, **changes) -> list[Participant]:
    forget()
    run = RunFolder.create(tmp_path / "run", resolve(tiny_plan(**changes)), "local")
    return prepared_sites(run)


def run(sites):
    approach = BASELINES["pooled"]
    assert isinstance(approach, Pooled)
    return approach.run(sites)


def test_one_head_for_the_labels_of_all(tmp_path):
    sites = people(tmp_path, **SKEWED)
    own = [set(site.codec.labels) for site in sites]
    assert len(set(map(frozenset, own))) > 1
    codec = codec_for_all(sites[0], sites)
    assert set(codec.labels) == set.union(*own) == set(labels_of_all(sites))
    model = model_for_all(sites[0], codec)
    assert list(model.config.id2label.values()) == list(codec.labels)
    assert len(model.classifier.weight) == len(codec.labels)


def test_for_a_participant_it_chooses_among_its_own_labels(tmp_path, monkeypatch):
    """A made-up head that always says the last label it may: who does not have the last of all gets its own last."""

    def stubborn(source, codec):
        model = model_for_all(source, codec)
        with torch.no_grad():
            model.classifier.weight.zero_()
            model.classifier.bias.copy_(torch.arange(len(codec.labels)))
        return model

    monkeypatch.setattr("fedgrow.approaches.pooled.model_for_all", stubborn)
    sites = people(tmp_path, training={"batch_size": 8, "model_learning_rate": 1e-9}, **SKEWED)
    everyones = labels_of_all(sites)
    last = [max(site.codec.labels, key=everyones.index) for site in sites]
    assert set(last) > {everyones[-1]}
    held_out = [site.raw_data[1].labels for site in sites]
    due = [labels.count(own) / len(labels) for own, labels in zip(last, held_out, strict=True)]
    assert all(due)
    assert [ended.metrics["accuracy"] for ended in run(sites)] == pytest.approx(due)


def test_it_learns_from_everyone(tmp_path):
    schedule, training = {"rounds": 2, "steps": 40}, {"batch_size": 32, "model_learning_rate": 3e-3}
    sites = people(tmp_path, schedule=schedule, training=training, **SKEWED)
    ended = run(sites)
    assert sum(e.metrics["accuracy"] for e in ended) / 3 > 0.3  # chance is 0.1
    for e in ended:
        assert (len(e.curve), e.curve[-1]) == (2, e.metrics)
        assert 0 < e.flops[0] < e.flops[1]
        assert e.flops == ended[0].flops  # each has its share
        assert e.trained == e.model > 0


def test_models_with_labels_of_their_own_are_given_those_of_all(tmp_path):
    """A folder whose classifier is fine-tuned names its labels; another participant has more."""
    bare, tuned = (tiny_bert(tmp_path / folder, **BERT) for folder in ("bare", "tuned"))
    names = {0: "x", 1: "y"}
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(bare, id2label=names)
        model.save_pretrained(tuned)
    entries = [
        {
            "name": name,
            "model": str(tuned if name == "ada" else bare),
            "data": {"source": texts(tmp_path / f"{name}.parquet", labels)},
        }
        for name, labels in (("ada", ("x", "y")), ("bob", ("z", "y")))
    ]
    large = {"layers": 3, "width": 32, "heads": 4, "ffn": 32}
    settings = {"task": "sequence-classification", "family": "bert", "model_settings": {}, "large": large}
    sites = people(tmp_path, participants=entries, intermediate="auto", data=None, **settings)
    assert list(codec_for_all(sites[0], sites).labels) == ["x", "y", "z"]
    assert [set(e.metrics) >= {"accuracy", "loss"} for e in run(sites)] == [True, True]


TEXTS = {"model_settings": {}, "vocabulary": {"size": 320}, "prepare": {"steps": 1}, "family": "bert"}


def test_tags_of_words(tmp_path):
    data = {"source": str(words(tmp_path / "words.parquet")), "test_fraction": 0.4, "limit": 60}
    sites = people(tmp_path, task="token-classification", data=data, **TEXTS)
    assert all("f1" in ended.metrics for ended in run(sites))


def test_spans(tmp_path):
    data = {"source": str(slots(tmp_path / "slots.parquet")), "test_fraction": 0.4}
    sites = people(tmp_path, task="question-answering", data=data, **TEXTS)
    assert all("exact_match" in ended.metrics for ended in run(sites))


@pytest.mark.parametrize("task", ["causal-language-modelling", "masked-language-modelling"])
def test_language_modelling_with_one_vocabulary(tmp_path, task):
    tokenizer = str(tiny_bert(tmp_path / "m", **BERT))
    shape = {"layers": 1, "width": 8, "heads": 2, "ffn": 8}
    names = ("ada", "bob")
    settings = LANGUAGE | {"task": task, "data": {"source": texts(tmp_path / "t.parquet")}}
    if task.startswith("masked"):
        settings["family"] = "bert"
        own = AutoTokenizer.from_pretrained(tokenizer)
        own.add_special_tokens({"mask_token": "[MASK]"})
        own.save_pretrained(tokenizer)
    entries = [{"name": n, "model": shape, "tokenizer": tokenizer} for n in names]
    sites = people(tmp_path, participants=entries, **settings)
    assert all(ended.metrics["perplexity"] > 1 for ended in run(sites))


def test_vocabularies_that_are_learned_apart_are_refused_before_a_run_begins(tmp_path):
    settings = LANGUAGE | {"data": {"source": texts(tmp_path / "t.parquet")}, "baselines": ["pooled"]}
    with pytest.raises(FedgrowError, match=r"pooled needs one vocabulary.* ada learns its own"):
        resolve(tiny_plan(**settings))


def test_other_vocabularies_that_differ_are_refused_by_name(tmp_path):
    sites = people(tmp_path, data={"source": texts(tmp_path / "t.parquet")}, **LANGUAGE)
    with pytest.raises(FedgrowError, match="bob has another vocabulary than ada"):
        run(sites)


def test_images_of_different_sizes_are_refused(tmp_path):
    images = people(tmp_path)[0].raw_data[0]
    with pytest.raises(FedgrowError, match="1 x 4 x 8, 1 x 8 x 8"):
        joined([images, replace(images, inputs=images.images[:, :, :4])])


def test_images_of_different_sizes_are_refused_before_a_run_begins(tmp_path):
    np.savez(tmp_path / "six.npz", image=np.zeros((40, 6, 6)), label=np.arange(40) % 4)
    own = {"source": str(tmp_path / "six.npz")}
    entries = [*PLAN["participants"][:-1], PLAN["participants"][-1] | {"data": own}]
    plan = tiny_plan(participants=entries, baselines=["pooled"])
    for begin in (outlook, lambda plan: simulate(plan, tmp_path / "run")):
        with pytest.raises(
            FedgrowError, match=r"baselines: pooled: images of different sizes \(1 x 6 x 6, 1 x 8 x 8"
        ):
            begin(plan)
    assert not (tmp_path / "run").exists()


def test_vocabularies_that_differ_are_refused_before_a_run_begins(tmp_path):
    folders = [tokenizer(tmp_path / name, mask=name == "b") for name in ("a", "b")]
    shape = {"layers": 1, "width": 8, "heads": 2, "ffn": 8}
    entries = [{"name": f.name, "model": shape, "tokenizer": str(f)} for f in folders]
    settings = LANGUAGE | {"data": {"source": texts(tmp_path / "t.parquet")}, "baselines": ["pooled"]}
    with pytest.raises(FedgrowError, match="pooled: b has another vocabulary than a"):
        resolve(tiny_plan(participants=entries, **settings))
