"""Whole runs with these baselines, and one broken half-way."""

from functools import partial

import pytest

from fedgrow.errors import FedgrowError
from fedgrow.federated import carry_out
from fedgrow.federated.member import member_at
from fedgrow.federated.outcome import read_outcome
from fedgrow.federated.simulate import simulate
from fedgrow.runs.folder import RunFolder
from tests.approaches.federating import DIGITS, Pull
from tests.federation import run_tiny

NAMES = ["heterofl", "fedrolex", "fedproto", "linear-probe"]


def test_one_run_with_all_of_them(tmp_path):
    summary = run_tiny(tmp_path / "run", data=DIGITS, baselines=NAMES)
    assert set(summary["baselines"]) == set(NAMES)
    run = RunFolder(tmp_path / "run")
    outcomes = {name: read_outcome(run, name) for name in NAMES}
    for name in NAMES[:3]:
        outcome = outcomes[name]
        assert len(outcome.bytes_up) == len(outcome.bytes_down) == 2
        for site, ended in zip(range(3), outcome.participants.values(), strict=True):
            assert ended.metrics == ended.curve[-1]
            assert ended.flops[0] * 2 == ended.flops[1]
            small = member_at(str(run.path), site, "dual-ligo").prepared["parameters"]
            assert ended.model == small
    assert outcomes["fedproto"].bytes_up[-1] < outcomes["heterofl"].bytes_up[-1]
    assert outcomes["linear-probe"].bytes_up == []


def test_the_largest_change_is_of_the_operator_and_of_no_baseline(tmp_path):
    summary = run_tiny(tmp_path / "run", data=DIGITS, baselines=["fedproto"], faults={"largest_change": 5.0})
    assert set(summary["baselines"]) == {"fedproto"}
    with pytest.raises(FedgrowError, match=r"participant ada: a change of norm .*; at most 1e-09 is taken"):
        run_tiny(tmp_path / "less", faults={"largest_change": 1e-9})


def test_a_run_broken_half_way_resumes_to_the_same_result(tmp_path, monkeypatch):
    name = "heterofl"
    whole = run_tiny(tmp_path / "whole", data=DIGITS, baselines=[name])
    pull = Pull(after=20)  # in the second round's training: 6 messages to prepare, then 12 a round
    plain = carry_out.run_local

    def broken(server, client, people, config, tap):
        plain(server, client, people, config, pull if config["method"] == name else tap)

    with monkeypatch.context() as patched:
        patched.setattr(carry_out, "run_local", broken)
        with pytest.raises(KeyboardInterrupt):
            run_tiny(tmp_path / "broken", data=DIGITS, baselines=[name])
    member_at.cache_clear()
    resumed = simulate(None, tmp_path / "broken", resume=True)
    outcome = partial(read_outcome, name=name)
    assert outcome(RunFolder(tmp_path / "broken")) == outcome(RunFolder(tmp_path / "whole"))
    assert resumed["baselines"] == whole["baselines"]
