"""The large model from scratch: fresh weights, its body shared, heads and poolers never."""

import pytest
import torch

from fedgrow.architectures import Shape, families
from fedgrow.learners.scratch import scratch
from fedgrow.learners.whole_model import WholeModel, body_names
from tests import tiny, zoo
from tests.learners.learners import LARGE, SMALL, batch, plan, small

WORDS = {"bert": "bert.embeddings.word_embeddings.weight", "gpt2-classify": "transformer.wte.weight"}


def made(model, vocabulary: bool, settings) -> WholeModel:
    """Make the large model with the whole body shared, with or without the vocabulary."""
    reading = scratch(model, settings, shared=()).reading
    return scratch(model, settings, shared=body_names(reading, vocabulary=vocabulary))


@pytest.mark.parametrize("name", ["bert", "vit", "gpt2-classify", "bert-mlm"])
@pytest.mark.parametrize("vocabulary", [True, False])
def test_heads_and_poolers_never_travel(name, vocabulary):
    learner = made(small(name), vocabulary, plan())
    assert not [
        n for n in learner.shared_start() if n.startswith(("classifier", "score", "cls")) or "pooler" in n
    ]


@pytest.mark.parametrize("name", WORDS)
def test_the_vocabulary_travels_only_if_told(name):
    kept, sent = (made(small(name), flag, plan()) for flag in (False, True))
    assert set(sent.shared_start()) - set(kept.shared_start()) == {WORDS[name]}
    assert WORDS[name] in kept.private_start()


def test_a_tied_vocabulary_travels_only_if_told():
    kept, sent = (made(small("gpt2"), flag, plan()) for flag in (False, True))
    assert list(kept.private_start()) == ["transformer.wte.weight"]
    assert sent.private_start() == {}


def test_it_has_the_large_shape_and_the_small_models_labels():
    learner = made(small("vit"), False, plan())
    whole = learner.materialise(learner.shared_start(), learner.private_start())
    assert learner.reading.shape == Shape(**LARGE)
    assert tiny.logits(whole, batch("vit")).shape == (3, tiny.LABELS)


def test_everyone_starts_from_the_same_body_whatever_its_small_model():
    one = made(small("vit"), False, plan()).shared_start()
    other = made(small("vit", num_labels=7), False, plan()).shared_start()
    assert all(torch.equal(one[n], other[n]) for n in one)
    assert one.keys() == other.keys()


def test_the_seed_decides_its_weights():
    one, other = (made(small("vit"), False, plan(seed=seed)).shared_start() for seed in (0, 1))
    assert not torch.equal(one["vit.embeddings.cls_token"], other["vit.embeddings.cls_token"])


def test_it_has_nothing_of_the_small_models_weights():
    one = made(small("vit"), False, plan())
    model = small("vit")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    other = made(model, False, plan())
    assert all(torch.equal(t, other.start[n]) for n, t in one.start.items())


def test_settings_with_an_entry_a_layer_follow_the_layers():
    family = families()["qwen2"]
    model = zoo.model(family, "sequence-classification", SMALL)
    large = scratch(model, plan(), shared=())
    assert large.reading.shape.layers == len(large.config.layer_types) == LARGE["layers"]
