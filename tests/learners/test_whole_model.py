"""Whole-model training: everything is trained; what is named travels, the rest stays."""

import pytest
import torch

from fedgrow.architectures import read
from fedgrow.learners import WholeModel
from fedgrow.learners.whole_model import body_names
from tests import tiny
from tests.learners.learners import SMALL, batch, logits, moved, small

NAMES = ["bert", "vit", "gpt2"]


@pytest.mark.parametrize("name", NAMES)
def test_by_default_nothing_travels(name):
    learner = WholeModel(small(name), 0.1)
    assert learner.shared_start() == {}
    tied = set(read(small(name)).tied)
    assert set(learner.private_start()) == set(small(name).state_dict()) - tied


def test_what_is_named_travels_and_the_rest_stays():
    names = ["vit.embeddings.cls_token", "vit.layernorm.weight"]
    learner = WholeModel(small("vit"), 0.1, names)
    assert set(learner.shared_start()) == set(names)
    assert set(learner.private_start()) == set(small("vit").state_dict()) - set(names)


@pytest.mark.parametrize("phase", ["local", "grow", "joint"])
def test_every_phase_trains_everything_at_one_step_size(phase):
    learner = WholeModel(small("gpt2"), 0.1, ["transformer.wpe.weight"])
    (group,) = learner.groups(phase)
    assert set(group.names) == {*learner.shared_start(), *learner.private_start()}
    assert group.learning_rate == 0.1


def test_head_and_pooler_have_a_rate_of_their_own():
    rest, heads = WholeModel(small("bert"), 0.1, head_rate=0.3).groups("joint")
    assert (rest.learning_rate, heads.learning_rate) == (0.1, 0.3)
    assert {n.rpartition(".")[0] for n in heads.names} == {"classifier", "bert.pooler.dense"}
    assert set(rest.names) == set(WholeModel(small("bert"), 0.1).start) - set(heads.names)


@pytest.mark.parametrize("name", NAMES)
def test_the_functional_model_is_the_model_it_was_made_of(name):
    learner = WholeModel(small(name), 0.1)
    assert torch.equal(
        logits(learner, name, {}, learner.private_start()), tiny.logits(small(name), batch(name))
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_functional_model_is_the_materialised_one(name):
    learner = WholeModel(small(name), 0.1, body_names(read(small(name)), vocabulary=False))
    shared, private = moved(learner.shared_start()), moved(learner.private_start())
    whole = learner.materialise(shared, private)
    assert torch.allclose(
        logits(learner, name, shared, private), tiny.logits(whole, batch(name)), rtol=0, atol=1e-5
    )


def test_tied_weights_are_held_once_and_stay_tied():
    learner = WholeModel(small("gpt2"), 0.1)
    assert "lm_head.weight" not in learner.private_start()
    whole = learner.materialise({}, moved(learner.private_start()))
    assert whole.lm_head.weight is whole.transformer.wte.weight


def test_the_model_given_is_not_changed():
    model = small("vit")
    before = {n: t.clone() for n, t in model.state_dict().items()}
    learner = WholeModel(model, 0.1)
    learner.materialise({}, moved(learner.private_start()))
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_the_body_is_everything_but_heads_poolers_and_on_demand_the_vocabulary():
    reading = read(small("bert"))
    with_words, without = (set(body_names(reading, vocabulary=flag)) for flag in (True, False))
    assert with_words - without == {"bert.embeddings.word_embeddings.weight"}
    left = set(small("bert").state_dict()) - with_words
    assert {n.split(".")[0] for n in left if "pooler" not in n} == {"classifier"}
    assert f"bert.encoder.layer.{SMALL.layers - 1}.output.dense.weight" in without
