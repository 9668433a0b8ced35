"""Steps whose loss or gradient is not finite: the run stops, or skips and counts them."""

from collections.abc import Callable

import pytest
import torch

from fedgrow.errors import FedgrowError
from tests.training.toy import Fit, everything, fitted, squares


def loss_at(bad: set[int], value: float = float("nan")) -> Fit:
    """Return a task whose loss is not finite at these steps, counted from 1."""
    return _task(bad, lambda loss: loss * value)


def gradient_at(bad: set[int]) -> Fit:
    """Return a task whose loss is finite but whose gradient is not, at these steps."""
    return _task(bad, lambda loss: loss + (loss * 0).sqrt())


def _task(bad: set[int], spoil: Callable[[torch.Tensor], torch.Tensor]) -> Fit:
    steps = []

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        steps.append(1)
        value = squares(logits, targets)
        return spoil(value) if len(steps) in bad else value

    return Fit(loss)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_step_and_phase(value):
    with pytest.raises(
        FedgrowError, match=rf"the loss is {value} at step 3 of 6 \(joint\).*training\.not_finite"
    ):
        fitted(task=loss_at({3}, value))


def test_a_gradient_that_is_not_finite_stops_too():
    with pytest.raises(FedgrowError, match=r"the gradient's norm is nan at step 2 of 6 \(local\)"):
        fitted(task=gradient_at({2}), phase="local")


@pytest.mark.parametrize("spoilt", [loss_at, gradient_at])
def test_skipped_steps_are_counted_and_leave_no_trace(spoilt):
    result = fitted(task=spoilt({1, 4}), not_finite="skip")
    assert result.skipped == 2
    assert all(t.isfinite().all() for t in everything(result).values())
    assert result.loss == result.loss


def test_a_skipped_step_changes_nothing():
    whole, cut = fitted(task=loss_at({6}), not_finite="skip"), fitted(task=loss_at(set()), steps=5, warmup=0)
    uncut = fitted(task=loss_at({6}), not_finite="skip", warmup=0)
    assert all(
        torch.equal(a, b) for a, b in zip(everything(uncut).values(), everything(cut).values(), strict=True)
    )
    assert whole.skipped == 1


@pytest.mark.parametrize("spoilt", [loss_at, gradient_at])
def test_when_every_step_is_skipped_it_is_an_error(spoilt):
    with pytest.raises(FedgrowError, match=r"none of 4 steps had a finite loss and gradient \(grow\)"):
        fitted(task=spoilt({1, 2, 3, 4}), not_finite="skip", steps=4, phase="grow")
