import pytest
import torch

from fedgrow.errors import FedgrowError
from fedgrow.federated.state import PrivateState


def test_the_last_rounds_are_kept_and_older_ones_forgotten(tmp_path):
    state = PrivateState(tmp_path / "state")
    for server_round in range(6):
        state.save(server_round, {"x": torch.full((2,), float(server_round))})
    assert [r for r in range(6) if state.has(r)] == [3, 4, 5]
    assert state.load(4)["x"].tolist() == [4.0, 4.0]


def test_a_round_after_missed_ones_begins_again_as_it_did(tmp_path):
    state = PrivateState(tmp_path / "state")
    for server_round in (1, 2, 7, 12, 13):
        state.save(server_round, {"x": torch.full((2,), float(server_round))})
        for again in (server_round, server_round - 1):
            before = [r for r in (1, 2, 7, 12, 13) if r < again]
            assert state.latest(again - 1) == max(before, default=None)
    assert not state.has(2)


def test_a_missing_round_is_named(tmp_path):
    with pytest.raises(FedgrowError, match="round 2"):
        PrivateState(tmp_path).load(2)


def test_nothing_private_is_not_an_error(tmp_path):
    state = PrivateState(tmp_path)
    state.save(0, {})
    assert state.load(0) == {}


def test_a_round_that_is_still_needed_is_kept(tmp_path):
    state = PrivateState(tmp_path / "state")
    for server_round in range(1, 9):
        state.save(server_round, {}, began=min(2, server_round - 1))
    assert [r for r in range(1, 9) if state.has(r)] == [2, 6, 7, 8]
    state.save(9, {}, began=8)
    state.save(10, {}, began=9)
    assert state.has(2)  # round 8, which a server that is two rounds behind asks for again, began with it
    state.save(11, {}, began=10)
    assert [r for r in range(1, 12) if state.has(r)] == [8, 9, 10, 11]
