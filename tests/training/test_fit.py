"""Local training: what it changes, and that nothing but the seed decides it."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from fedgrow.config.plan import TrainingPlan
from fedgrow.errors import FedgrowError
from fedgrow.training.loop import fit
from tests.training.toy import RATES, Fit, Rows, Toy, data, equal, everything, fitted, squares


def test_the_loss_falls():
    assert fitted(steps=60).loss < fitted(steps=2).loss


def test_the_same_seed_gives_the_same_bits():
    first, second = (fitted(Toy(dropout=0.5), seed=3) for _ in range(2))
    assert equal(everything(first), everything(second))
    assert first.loss == second.loss


def test_global_randomness_before_has_no_influence():
    first = fitted(Toy(dropout=0.5), seed=3)
    torch.manual_seed(99)
    assert equal(everything(first), everything(fitted(Toy(dropout=0.5), seed=3)))


def test_another_seed_gives_other_batches():
    first, second = Rows(), Rows()
    fitted(codec=first, seed=3)
    fitted(codec=second, seed=4)
    assert first.batches != second.batches


def test_another_seed_gives_another_dropout():
    full = {"batch_size": 10, "steps": 1}  # all examples in one batch: only dropout is left to differ
    masks = [fitted(Toy(dropout=0.5), seed=seed, **full).loss for seed in (3, 4)]
    assert masks[0] != masks[1]


def test_what_is_given_is_not_changed():
    learner, examples = Toy(), data()
    shared, private = learner.shared_start(), learner.private_start()
    given = [*shared.values(), *private.values(), *examples.inputs, examples.targets]
    before = [t.clone() for t in given]
    plan = TrainingPlan(batch_size=4)
    result = fit(learner, shared, private, examples, Rows(), Fit(), plan, phase="joint", steps=3, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(before, given, strict=True))
    assert not any(t.requires_grad for t in given)
    assert all(result.shared[name].data_ptr() != t.data_ptr() for name, t in shared.items())


def test_shared_and_private_come_back_apart_and_detached():
    result = fitted()
    assert (set(result.shared), set(result.private)) == ({"sent"}, {"kept", "head"})
    assert not any(t.requires_grad for t in everything(result).values())


@pytest.mark.parametrize(
    ("phase", "trained"),
    [("local", {"kept", "head"}), ("grow", {"sent", "head"}), ("joint", {"sent", "kept", "head"})],
)
def test_a_phase_changes_its_groups_and_nothing_else(phase, trained):
    learner = Toy()
    start = {**learner.shared_start(), **learner.private_start()}
    end = everything(fitted(learner, phase=phase))
    assert {name for name in start if not torch.equal(start[name], end[name])} == trained


def slope(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Have a gradient that never changes sign, so that AdamW moves by just its step size."""
    return logits.sum()


def moves(**settings) -> dict[str, list[float]]:
    """Return how far every tensor moved at every step, as a share of its group's step size."""
    learner, ones = Toy(), data()
    for row in ones.inputs:
        row.fill_(1.0)
    last = fitted(learner, task=Fit(slope), examples=ones, **settings)
    states = [*learner.seen, everything(last)]
    return {
        name: [float((a[name] - b[name]).mean()) / rate for a, b in pairwise(states)]
        for name, rate in RATES.items()
    }


def test_every_group_has_its_own_step_size():
    for steps in moves(steps=3, warmup=0).values():
        assert steps == pytest.approx([1, 1, 1], rel=1e-3)


def test_warm_up_rises_evenly_over_its_part_of_the_steps():
    for steps in moves(steps=8, warmup=0.5).values():
        assert steps == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1], rel=1e-3)


def test_rates_fall_evenly_to_almost_nothing_where_the_plan_says_so():
    for steps in moves(steps=8, warmup=0.5, decay="linear").values():
        assert steps == pytest.approx([0.25, 0.5, 0.75, 1, 0.8, 0.6, 0.4, 0.2], rel=1e-3)


def test_every_step_is_watched_and_may_be_the_last():
    seen = []

    def watch(step, loss, state):
        seen.append((step, loss, set(state)))
        return step == 3

    learner, examples = Toy(), data()
    shared, private = learner.shared_start(), learner.private_start()
    plan = TrainingPlan(batch_size=4)
    result = fit(
        learner, shared, private, examples, Rows(), Fit(), plan, phase="joint", steps=6, seed=0, watch=watch
    )
    assert [step for step, _, _ in seen] == [1, 2, 3]
    assert seen[0][2] == set(RATES)
    assert result.loss == pytest.approx(np.mean([loss for _, loss, _ in seen]))


def test_gradients_are_clipped_to_their_common_norm():
    norms = []

    def watched(logits, targets):
        loss = squares(logits, targets) * 1e6
        loss.register_hook(lambda gradient: norms.append(gradient))
        return loss

    wild, tame = fitted(task=Fit(watched), clip_norm=1e-9, steps=2), fitted(task=Fit(watched), steps=2)
    start = Toy().shared_start()["sent"]
    # far below AdamW's epsilon a gradient no longer moves anything by a whole step
    assert (wild.shared["sent"] - start).abs().max() < 0.2 * (tame.shared["sent"] - start).abs().max()
    assert len(norms) == 4


def test_no_steps_change_nothing():
    learner = Toy()
    result = fitted(learner, steps=0)
    assert equal(everything(result), {**learner.shared_start(), **learner.private_start()})
    assert (result.loss, result.skipped) == (0.0, 0)


def test_randomness_of_the_process_is_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    fitted(Toy(dropout=0.5))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert before[2] == random.getstate()


@pytest.fixture
def three_threads():
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("three_threads")
def test_it_computes_on_one_thread_and_gives_the_others_back():
    counts = []

    def counting(logits, targets):
        counts.append(torch.get_num_threads())
        return squares(logits, targets)

    fitted(task=Fit(counting))
    assert set(counts) == {1}
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_threads_are_given_back_after_an_error_too():
    def failing(logits, targets):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fitted(task=Fit(failing))
    assert torch.get_num_threads() == 3


def test_nothing_to_train_is_an_error():
    toy = Toy()
    with pytest.raises(FedgrowError, match=r"nothing to train in phase 'joint'"):
        fit(
            toy, toy.shared_start(), toy.private_start(), data(), Rows(), Fit(), TrainingPlan(),
            phase="joint", steps=1, seed=0, trains=lambda name: False,
        )  # fmt: skip
