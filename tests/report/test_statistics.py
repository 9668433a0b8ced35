"""Statistics over participants."""

import statistics as by_hand

import pytest

from fedgrow.federated.results import statistics

VALUES = [0.5, 0.75, 1.0, 0.25]


def test_mean_deviation_least_and_greatest():
    found = statistics([{"accuracy": v, "loss": 2 * v} for v in VALUES])
    assert found["metrics_mean"] == pytest.approx({"accuracy": 0.625, "loss": 1.25})
    assert found["metrics_std"]["accuracy"] == pytest.approx(by_hand.pstdev(VALUES))
    assert found["metrics_min"] == {"accuracy": 0.25, "loss": 0.5}
    assert found["metrics_max"] == {"accuracy": 1.0, "loss": 2.0}


def test_one_participant_does_not_deviate():
    assert statistics([{"accuracy": 0.5}])["metrics_std"] == {"accuracy": 0.0}


def test_values_are_plain_numbers():
    assert {type(v) for part in statistics([{"accuracy": 1}]).values() for v in part.values()} == {float}
