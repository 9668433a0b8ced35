"""LoRA starts as the model itself, merges to what it computes, and trains factors and what is private only."""

import pytest
import torch

from fedgrow.architectures import read
from fedgrow.learners.lora import LORA, Lora
from fedgrow.learners.whole_model import body_names
from tests.learners.learners import batch, logits, moved, plan, small
from tests.tiny import WITH_HEAD
from tests.tiny import logits as of_model


def lora(name: str) -> Lora:
    model = small(name)
    frozen = body_names(read(model), vocabulary=True)
    training = plan().training.model_copy(update={"lora_rank": 2, "lora_alpha": 4.0})
    return Lora(model, training, frozen, seed=3)


@pytest.mark.parametrize("name", WITH_HEAD)
def test_it_starts_as_the_model_itself(name):
    learner = lora(name)
    found = logits(learner, name, learner.shared_start(), learner.private_start())
    torch.testing.assert_close(found, of_model(small(name), batch(name)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", WITH_HEAD)
def test_merged_it_computes_the_same(name):
    learner = lora(name)
    shared, private = moved(learner.shared_start()), moved(learner.private_start(), seed=2)
    found = logits(learner, name, shared, private)
    start = logits(learner, name, learner.shared_start(), private)
    merged = of_model(learner.materialise(shared, private), batch(name))
    torch.testing.assert_close(merged, found, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, start, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "matrices"), [("bert", 6), ("gpt2", 4), ("vit", 6)])
def test_every_matrix_of_the_blocks_has_factors_of_its_own_size(name, matrices):
    learner = lora(name)
    start, state = learner.shared_start(), small(name).state_dict()
    assert len(start) == 2 * matrices
    for key in {k.rpartition(".")[0] for k in start}:
        down, up = start[f"{key}.down"], start[f"{key}.up"]
        assert sorted((len(up), down.shape[1])) == sorted(state[key.removeprefix(LORA)].shape)
        assert down.shape[0] == up.shape[1] == 2
        assert down.any()
        assert not up.any()


def test_down_reads_and_up_writes_in_gpt2s_layout():
    start = lora("gpt2").shared_start()
    key = next(k for k in start if "c_fc" in k).rpartition(".")[0]
    assert (start[f"{key}.down"].shape[1], len(start[f"{key}.up"])) == (8, 12)


def test_gradients_reach_factors_and_head_and_nothing_else():
    learner = lora("bert")
    shared = {n: t.requires_grad_() for n, t in moved(learner.shared_start()).items()}
    private = {n: t.clone().requires_grad_() for n, t in learner.private_start().items()}
    learner.logits(learner.weights(shared, private), batch("bert"), training=True).square().sum().backward()
    assert all(t.grad is not None and t.grad.any() for t in {**shared, **private}.values())
    grouped = {name for group in learner.groups("joint") for name in group.names}
    assert grouped == set(shared) | set(private)
    assert {n.partition(".")[0] for n in private} == {
        "bert",
        "classifier",
    }  # the pooler is the body's only part
    assert all("pooler" in n for n in private if n.startswith("bert"))
    assert not any(t.requires_grad for t in learner.frozen.tensors.values())
