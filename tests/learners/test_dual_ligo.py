"""Dual-LiGO: what is shared, what is trained when, and that the functional model is the materialised one."""

import pytest
import torch
import transformers

from fedgrow.architectures import Shape, read
from fedgrow.tasks import TASKS, Encoded
from fedgrow.tasks.image_classification import ImageCodec
from fedgrow.training.loop import Fitted, fit
from tests import tiny
from tests.learners.learners import LARGE, MIDDLE, batch, dual, logits, moved, plan, small

FAMILIES = ["bert", "vit", "gpt2", "gpt2-classify"]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_functional_model_is_the_materialised_one(name):
    learner = dual(name)
    shared, private = moved(learner.shared_start()), moved(learner.private_start(), seed=2)
    whole = learner.materialise(shared, private)
    assert read(whole).shape == Shape(**LARGE)
    assert torch.allclose(
        logits(learner, name, shared, private), tiny.logits(whole, batch(name)), rtol=0, atol=1e-5
    )


KINDS = ["dense", "tied", "partial", "low-rank", "fixed"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("local", KINDS)
def test_so_it_is_for_every_operator_on_both_sides(kind, local):
    learner = dual("bert", operator={"kind": kind}, local_operator={"kind": local})
    shared, private = moved(learner.shared_start()), moved(learner.private_start(), seed=2)
    whole = learner.materialise(shared, private)
    assert torch.allclose(
        logits(learner, "bert", shared, private), tiny.logits(whole, batch("bert")), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_growth_starts_at_the_small_models_function(name):
    learner = dual(name)
    at_start = logits(learner, name, learner.shared_start(), learner.private_start())
    assert torch.allclose(at_start, tiny.logits(small(name), batch(name)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes", "exact"),
    [
        ("bert", {}, True),
        ("vit", {"intermediate": MIDDLE | {"width": 18}, "large": LARGE | {"width": 44}}, True),
        ("bert", {"intermediate": MIDDLE | {"width": 18}, "large": LARGE | {"width": 36}}, False),
        ("bert", {"intermediate": MIDDLE | {"width": 24}, "large": LARGE | {"width": 36, "heads": 3}}, False),
        ("bert", {"operator": {"kind": "dense", "start": "xavier"}}, False),
        ("bert", {"local_operator": {"kind": "tied", "start": "xavier"}}, False),
    ],
)
def test_what_is_declared_exact_is_and_what_is_not_is_not(name, changes, exact):
    learner = dual(name, **changes)
    at_start = logits(learner, name, learner.shared_start(), learner.private_start())
    assert learner.declared.startswith("exact") == exact
    assert torch.allclose(at_start, tiny.logits(small(name), batch(name)), rtol=0, atol=1e-5) == exact


def test_tied_embeddings_stay_tied():
    learner = dual("gpt2")
    whole = learner.materialise(moved(learner.shared_start()), moved(learner.private_start()))
    assert whole.lm_head.weight is whole.transformer.wte.weight


def test_a_materialised_model_saves_and_loads_as_any_other(tmp_path):
    learner = dual("vit")
    whole = learner.materialise(moved(learner.shared_start()), learner.private_start())
    whole.save_pretrained(tmp_path)
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(tiny.logits(again, batch("vit")), tiny.logits(whole, batch("vit")))


def test_gradients_reach_both_operators_and_the_head():
    learner = dual("vit")
    shared, private = moved(learner.shared_start()), moved(learner.private_start(), seed=2)
    tensors = shared | private
    for tensor in tensors.values():
        tensor.requires_grad_()
    learner.logits(learner.weights(shared, private), batch("vit"), training=True).square().sum().backward()
    without = [n for n, t in tensors.items() if t.grad is None or not t.grad.any()]
    assert without == []


def test_the_shared_start_follows_from_the_plan_alone():
    first, second = dual("vit").shared_start(), dual("vit").shared_start()
    other = dual("vit", seed=5).shared_start()
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert any(not torch.equal(first[n], other[n]) for n in first)


def test_names_of_shared_and_private_never_collide():
    learner = dual("bert")
    assert not set(learner.shared_start()) & set(learner.private_start())


def test_no_small_tensor_is_shared():
    learner = dual("bert")
    assert not set(learner.shared_start()) & set(learner.small)
    assert not any(n.startswith(("small/", "local/")) for n in learner.shared_start())


# groups


def trained(learner, phase) -> list[str]:
    return [name for group in learner.groups(phase) for name in group.names]


def kinds(names) -> set[str]:
    return {name.split("/")[0] if name.startswith(("local/", "small/")) else "global" for name in names}


@pytest.mark.parametrize(
    ("phase", "expected"),
    [("local", {"small", "local"}), ("grow", {"small", "global"}), ("joint", {"small", "local", "global"})],
)
def test_each_phase_trains_its_operators_whole_and_the_head(phase, expected):
    learner = dual("bert")
    names = trained(learner, phase)
    assert kinds(names) == expected
    assert len(names) == len(set(names))
    every = [*learner.shared_start(), *learner.private_start()]
    assert set(names) == {n for n in every if kinds([n]) <= expected}


def test_the_head_and_the_pooler_are_trained_the_rest_of_the_small_model_is_not():
    names = [n.removeprefix("small/") for n in trained(dual("bert"), "local") if n.startswith("small/")]
    assert {n.split(".")[0] for n in names if "pooler" not in n} == {"classifier"}
    assert sum("pooler" in n for n in names) == 2


def test_train_small_adds_all_small_tensors_with_their_own_step_size():
    changed = {"train_small": True, "small_learning_rate": 0.07, "head_learning_rate": 0.05}
    learner = dual("bert", training=changed)
    assert {n for n in learner.private_start() if n.startswith("small/")} == {
        f"small/{n}" for n in learner.small
    }
    rates = {n: g.learning_rate for g in learner.groups("grow") for n in g.names if n.startswith("small/")}
    assert set(rates) == {f"small/{n}" for n in learner.small}
    heads = {n for n, rate in rates.items() if rate == 0.05}
    assert heads == {f"small/{n}" for n in learner.head_names}
    assert set(rates.values()) == {0.05, 0.07}


def test_a_trained_small_tensor_counts():
    learner = dual("vit", training={"train_small": True})
    shared, private = learner.shared_start(), learner.private_start()
    other = private | {n: t + 0.1 for n, t in private.items() if n.startswith("small/vit")}
    assert not torch.allclose(logits(learner, "vit", shared, private), logits(learner, "vit", shared, other))


def test_the_plans_learning_rates_come_before_the_kinds_own():
    learner = dual("vit", operator={"kind": "tied", "learning_rate": 0.03})
    own = dual("vit", operator={"kind": "tied"})
    rates, own_rates = (
        {n: g.learning_rate for g in one.groups("grow") for n in g.names if kinds([n]) == {"global"}}
        for one in (learner, own)
    )
    assert {rate for n, rate in rates.items() if not n.startswith("depth.")} == {0.03}
    times = 0.03 / own.global_.width_learning_rate()
    assert rates == pytest.approx({n: times * rate for n, rate in own_rates.items()})


def test_a_model_without_a_head_of_its_own_trains_operators_only():
    assert kinds(trained(dual("gpt2"), "joint")) == {"local", "global"}


# two phases


def trained_for(phase: str) -> tuple[dict, Fitted]:
    learner = dual("vit")
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randn(3, tiny.IMAGE, tiny.IMAGE, generator=generator) for _ in range(6)]
    examples = Encoded(rows, torch.tensor([0, 1, 2, 0, 1, 2]))
    codec, task = ImageCodec(None, ["a", "b", "c"], 3, tiny.IMAGE), TASKS["image-classification"]
    shared, private = moved(learner.shared_start()), moved(learner.private_start(), seed=2)
    training = plan().training
    result = fit(learner, shared, private, examples, codec, task, training, phase=phase, steps=2, seed=0)
    return shared | private, result


def changed(before: dict, after: Fitted) -> set[str]:
    names = {n for n, t in {**after.shared, **after.private}.items() if not torch.equal(t, before[n])}
    return kinds(names)


@pytest.mark.parametrize(
    ("phase", "expected"),
    [("local", {"small", "local"}), ("grow", {"small", "global"}), ("joint", {"small", "local", "global"})],
)
def test_a_phase_leaves_the_other_operator_as_it_was_bit_for_bit(phase, expected):
    assert changed(*trained_for(phase)) == expected
