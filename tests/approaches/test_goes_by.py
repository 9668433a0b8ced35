"""What of a plan an approach goes by: its strategy, its compression and when it is evaluated."""

import pytest
import torch

from fedgrow.approaches import APPROACHES, Federated
from fedgrow.config.study import SETTING
from fedgrow.exchange.contract import EVALUATE, GROW
from fedgrow.federated.checkpoint import Checkpoints
from tests.approaches.federating import Heard, begin, federate

AVERAGES = [name for name, a in APPROACHES.items() if isinstance(a, Federated) and "strategy" in a.goes_by]
OWN = [name for name, a in APPROACHES.items() if isinstance(a, Federated) and "strategy" not in a.goes_by]
ALL = {
    "compression": {"kind": "int8", "down": "int8"},
    "strategy": {"name": "FedAvgM", "options": {"server_learning_rate": 0.5, "server_momentum": 0.5}},
    "schedule": {"rounds": 2, "steps": 2, "evaluation": "along"},
}


def test_they_go_by_settings_that_a_method_may_have():
    assert all(set(approach.goes_by) <= set(SETTING) for approach in APPROACHES.values())
    assert set(APPROACHES["dual-ligo"].goes_by) == set(SETTING)
    assert {"fedavg", "fedprox", "fedavg-grown", "fedlora"} < set(AVERAGES)
    assert set(OWN) == {"heterofl", "fedrolex", "fedproto"}


@pytest.mark.parametrize("name", ["fedavg", "fedlora"])
def test_averages_go_by_the_plan(tmp_path, name):
    heard = Heard()
    run = begin(tmp_path / "run", name, **ALL)
    federate(run, name, heard)
    kinds = [kind for way, _, kind, _, _ in heard.messages if way == "down"]
    assert kinds == [GROW] * 6 + [EVALUATE] * 3  # along: only the last round has a phase of its own
    trained = [arrays for _, _, kind, arrays, _ in heard.messages if kind == GROW]
    assert len(trained) == 12
    for arrays in trained:
        assert {a.dtype for n, a in arrays.items() if n != ":scale"} == {torch.int8}
    assert Checkpoints(run.approach(name)).last().strategy  # its momentum


@pytest.mark.parametrize("name", OWN)
def test_those_that_average_by_themselves_do_not(tmp_path, name):
    ends = []
    for changes in ({"schedule": ALL["schedule"]}, ALL):
        heard = Heard()
        run = begin(tmp_path / f"run-{len(ends)}", name, **changes)
        federate(run, name, heard)
        assert all(a.dtype != torch.int8 for _, _, _, arrays, _ in heard.messages for a in arrays.values())
        ends.append(Checkpoints(run.approach(name)).last().arrays)
    assert all((ends[0][n] == ends[1][n]).all() for n in ends[0])
