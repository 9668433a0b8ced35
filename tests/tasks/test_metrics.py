"""Losses and metrics, against scikit-learn or by hand."""

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score

from fedgrow.tasks import TASKS

CLASSIFICATION, LANGUAGE = TASKS["sequence-classification"], TASKS["causal-language-modelling"]
LOGITS = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
TARGETS = torch.randint(4, (40,), generator=torch.Generator().manual_seed(1))


def tallies(batch: int):
    rows = range(0, len(TARGETS), batch)
    return [CLASSIFICATION.tally(LOGITS[i : i + batch], TARGETS[i : i + batch]) for i in rows]


def test_every_task_is_registered_under_its_name():
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in TASKS}


def test_classification_loss_is_scikit_learns():
    expected = log_loss(TARGETS, LOGITS.double().softmax(-1), labels=range(4))
    assert float(CLASSIFICATION.loss(LOGITS, TARGETS)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch", [40, 16, 1])
def test_classification_metrics_are_scikit_learns_whatever_the_batches(batch):
    predicted = LOGITS.argmax(-1)
    assert CLASSIFICATION.score(tallies(batch)) == pytest.approx(
        {
            "accuracy": accuracy_score(TARGETS, predicted),
            "macro_precision": precision_score(TARGETS, predicted, average="macro", zero_division=0),
            "macro_f1": f1_score(TARGETS, predicted, average="macro", zero_division=0),
        }
    )


def test_a_class_that_is_never_predicted_counts_as_zero():
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    score = CLASSIFICATION.score([CLASSIFICATION.tally(logits, torch.tensor([0, 1]))])
    assert score == pytest.approx({"accuracy": 0.5, "macro_precision": 0.25, "macro_f1": 1 / 3})


def test_one_class_is_scored_without_a_warning():
    logits, targets = torch.zeros(3, 1), torch.zeros(3, dtype=torch.long)
    assert set(CLASSIFICATION.score([CLASSIFICATION.tally(logits, targets)]).values()) == {1.0}
    assert float(CLASSIFICATION.loss(logits, targets)) == 0.0


def test_scores_carry_the_tasks_names_of_metrics():
    assert tuple(CLASSIFICATION.score(tallies(40))) == CLASSIFICATION.metrics


# Two blocks of three tokens over a vocabulary of two; the probabilities of the tokens 2 and 3 of each block.
CHANCES = torch.tensor([[0.5, 0.25], [0.2, 0.8]])


def language(chances: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    targets = torch.tensor([[0, 1, 1]]).expand(len(chances), 3)
    unused = torch.full((len(chances), 1), 0.9)  # what follows the last token is not asked
    likely = torch.cat([chances, unused], 1)
    return torch.stack([1 - likely, likely], -1).log(), targets


def test_language_loss_is_the_mean_of_the_next_tokens():
    expected = -sum(math.log(p) for p in (0.5, 0.25, 0.2, 0.8)) / 4
    assert float(LANGUAGE.loss(*language(CHANCES))) == pytest.approx(expected, rel=1e-5)


def test_perplexity_by_hand():
    tally = LANGUAGE.tally(*language(CHANCES))
    assert tally[1] == 4
    assert LANGUAGE.score([tally])["perplexity"] == pytest.approx((0.5 * 0.25 * 0.2 * 0.8) ** -0.25, rel=1e-5)


def test_perplexity_does_not_depend_on_the_batches():
    apart = [LANGUAGE.tally(*language(row[None])) for row in CHANCES]
    assert LANGUAGE.score(apart) == pytest.approx(LANGUAGE.score([LANGUAGE.tally(*language(CHANCES))]))


def test_an_enormous_perplexity_is_still_a_number():
    assert math.isfinite(LANGUAGE.score([(1e9, 1)])["perplexity"])


def test_lower_perplexity_is_better_and_higher_accuracy():
    assert [one.higher_is_better(one.metrics[0]) for one in (LANGUAGE, CLASSIFICATION)] == [False, True]
