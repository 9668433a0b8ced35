"""Evaluation: every example once, whatever the batches."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers.modeling_outputs import ImageClassifierOutput

from fedgrow.errors import FedgrowError
from fedgrow.tasks import TASKS, Encoded
from fedgrow.tasks.token_classification import IGNORED, Tags
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


def test_examples_of_one_length_are_taken_in_order():
    codec = Rows()
    scores(4, codec=codec)
    assert codec.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


class Ragged(Rows):
    """Rows of many lengths, padded to the longest that there is."""

    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        padded = [torch.nn.functional.pad(row, (0, 4 - len(row))) for row in encoded.inputs]
        return super().batch(Encoded(padded, encoded.targets), indices)


def test_the_shortest_come_first_and_the_metrics_are_the_same():
    rows = [row[:length] for row, length in zip(data().inputs, (3, 1, 4, 1, 2, 4, 3, 1, 2, 4), strict=True)]
    ragged, codec, toy = Encoded(rows, data().targets), Ragged(), Toy()
    weights = {n: torch.ones(4) for n in toy.private_start()}
    found = evaluate(toy, toy.shared_start(), weights, ragged, codec, Fit(), 4)
    assert codec.batches == [[1, 3, 7, 4], [8, 0, 6, 2], [5, 9]]
    error = torch.stack([2 * row.sum() for row in rows]) - ragged.targets
    assert found == pytest.approx({"loss": float(error.square().mean()), "mean_error": float(error.mean())})


def test_weights_are_made_once():
    toy = Toy()
    scores(2, toy)
    assert len(toy.seen) == 1


def test_nothing_is_differentiated():
    toy = Toy()
    kept = {name: t.requires_grad_() for name, t in toy.private_start().items()}
    evaluate(toy, toy.shared_start(), kept, data(), Rows(), Fit(), 4)
    assert all(t.grad is None for t in kept.values())


class Echo(nn.Module):
    def forward(self, x: torch.Tensor) -> ImageClassifierOutput:
        return ImageClassifierOutput(logits=x)


class Echoing(Toy):
    """Its logits are what it is given."""

    def materialise(self, *_) -> nn.Module:
        return Echo()


OWN = torch.tensor([True, False, True])  # the label with the highest logit everywhere is another's


def test_it_chooses_among_some_labels_only():
    logits = torch.tensor([[0.0, 9.0, 1.0], [2.0, 9.0, 0.0], [0.0, 9.0, 1.0]])
    targets = torch.tensor([2, 0, 0])

    def found(choices: torch.Tensor | None) -> dict[str, float]:
        task = TASKS["image-classification"]
        return evaluate(Echoing(), {}, {}, Encoded(list(logits), targets), Rows(), task, 2, choices=choices)

    assert found(None)["accuracy"] == 0
    assert found(OWN)["accuracy"] == pytest.approx(2 / 3)
    assert found(OWN)["loss"] == pytest.approx(float(cross_entropy(logits[:, [0, 2]], targets // 2)))


class Tagged(Rows):
    def batch(self, encoded: Encoded, indices: Sequence[int]) -> tuple[dict[str, torch.Tensor], Tags]:
        inputs, ids = super().batch(encoded, indices)
        return inputs, Tags(ids, ["DET", "NOUN", "VERB"])


@pytest.mark.parametrize(("choices", "accuracy"), [(None, 0), (OWN, 1)])
def test_so_it_does_for_words(choices, accuracy):
    logits, ids = torch.tensor([[0.0, 9.0, 1.0], [2.0, 9.0, 0.0]]), torch.tensor([[2, 0], [IGNORED, 0]])
    texts = Encoded([logits, logits], ids)
    found = evaluate(Echoing(), {}, {}, texts, Tagged(), TASKS["token-classification"], 1, choices=choices)
    assert found["accuracy"] == accuracy


def test_metrics_that_are_not_finite_are_an_error():
    toy = Toy()
    broken = {name: torch.full_like(t, torch.nan) for name, t in toy.private_start().items()}
    with pytest.raises(FedgrowError, match=r"nan.* on held-out data; lower the learning rates"):
        evaluate(toy, toy.shared_start(), broken, data(), Rows(), Fit(), 4)
