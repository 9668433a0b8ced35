"""Evaluation: every example once, in order, whatever the batches."""

import pytest
import torch

from fedgrow.training.loop import evaluate
from tests.training.toy import Fit, Rows, Toy, data, squares


def scores(batch: int, learner: Toy | None = None, codec: Rows | None = None) -> dict[str, float]:
    toy = learner or Toy(dropout=0.5)
    return evaluate(toy, toy.shared_start(), toy.private_start(), data(), codec or Rows(), Fit(), batch)


def by_hand() -> dict[str, float]:
    toy, examples = Toy(), data()
    weights = sum({**toy.shared_start(), **toy.private_start()}.values())
    logits = torch.stack(list(examples.inputs)) @ weights
    error = logits - examples.targets
    return {"loss": float(squares(logits, examples.targets)), "mean_error": float(error.mean())}


@pytest.mark.parametrize("batch", [1, 3, 4, 10, 99])
def test_loss_and_metrics_do_not_depend_on_the_batches(batch):
    assert scores(batch) == pytest.approx(by_hand(), rel=1e-5)


def test_it_is_the_given_tensors_that_are_evaluated():
    toy, examples = Toy(), data()
    shared = {"sent": torch.full((4,), 2.0)}
    private = {"kept": torch.full((4,), 3.0), "head": torch.full((4,), 0.5)}
    found = evaluate(toy, shared, private, examples, Rows(), Fit(), 4)
    error = torch.stack(list(examples.inputs)) @ torch.full((4,), 5.5) - examples.targets
    assert found["mean_error"] == pytest.approx(float(error.mean()), rel=1e-5)


def test_examples_are_taken_in_order():
    codec = Rows()
    scores(4, codec=codec)
    assert codec.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_weights_are_made_once():
    toy = Toy()
    scores(2, toy)
    assert len(toy.seen) == 1


def test_nothing_is_differentiated():
    toy = Toy()
    kept = {name: t.requires_grad_() for name, t in toy.private_start().items()}
    evaluate(toy, toy.shared_start(), kept, data(), Rows(), Fit(), 4)
    assert all(t.grad is None for t in kept.values())
