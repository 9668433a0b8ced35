"""Aggregation: order, weights, every registered strategy, and what it carries from round to round."""

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, Error, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedgrow.approaches.base import Sent
from fedgrow.errors import FedgrowError
from fedgrow.exchange.records import to_record
from fedgrow.exchange.wire import become_server
from fedgrow.federated.client_app import app
from fedgrow.federated.local_grid import LocalGrid
from fedgrow.federated.spool import Spool
from fedgrow.federated.strategy import STRATEGIES, Aggregation, checked, mean, try_out

PEOPLE = 7
NEEDS = {
    "Krum": {"num_malicious_nodes": 1},
    "MultiKrum": {"num_malicious_nodes": 1},
    "Bulyan": {"num_malicious_nodes": 1},
}


def sent(value: float, weight: int = 1) -> Sent:
    return Sent({"a": torch.full((2, 3), value), "b": torch.full((4,), -value)}, weight)


def values(record: ArrayRecord) -> dict[str, np.ndarray]:
    return {name: array.numpy() for name, array in record.items()}


def test_an_error_reply_ends_the_round():
    become_server(1)
    bad = Message(Error(2, "participant 1: see its log"), reply_to=Message(RecordDict(), 1001, "train.grow"))
    with pytest.raises(FedgrowError, match="participant 1"):
        checked(bad)


def test_a_spool_keeps_what_was_sent_in_the_participants_order(tmp_path):
    spool = Spool(tmp_path / "replies")
    for index in (11, 2, 5):
        spool.put(index, {"a": torch.full((2,), float(index))}, index)
    assert list(spool) == [2, 5, 11]
    assert [(s.examples, s.arrays["a"].tolist()) for s in spool.values()] == [
        (i, [float(i)] * 2) for i in (2, 5, 11)
    ]
    assert len(Spool(tmp_path / "replies")) == 0
    assert not (tmp_path / "replies").exists()


def test_the_mean_does_not_hang_on_float32():
    """Sixteen million and one half: a float32 sum would lose the halves."""
    many = {i: Sent({"a": torch.tensor([2.0**24 if i == 0 else 0.5])}, 1) for i in range(5)}
    assert mean(many).arrays["a"].item() == np.float32((2.0**24 + 2.0) / 5)


def test_fedavg_weighs_by_examples():
    averaged = values(Aggregation("FedAvg", 2, {}).aggregate(1, {0: sent(1.0, 30), 1: sent(5.0, 10)}))
    np.testing.assert_allclose(averaged["a"], 2.0)
    np.testing.assert_allclose(averaged["b"], -2.0)
    assert averaged["a"].dtype == np.float32


def one_round(
    rounds: Aggregation, number: int, start: ArrayRecord, kept: tuple[str, ...] = ()
) -> ArrayRecord:
    grid = LocalGrid(app, PEOPLE, {"run": "", "method": ""})
    messages = rounds.train(number, start, grid)
    assert {m.metadata.message_type for m in messages} == {"train.grow"}
    replies = {i: sent(number + 0.1 * i, 10 + i) for i in range(PEOPLE)}
    return rounds.aggregate(number, replies, {name: start[name] for name in kept})


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_aggregates(name):
    start = to_record({"a": torch.zeros(2, 3), "b": torch.zeros(4)})
    out = values(one_round(Aggregation(name, PEOPLE, NEEDS.get(name, {})), 1, start))
    assert {n: a.shape for n, a in out.items()} == {"a": (2, 3), "b": (4,)}
    assert all(np.isfinite(a).all() for a in out.values())
    assert all(np.abs(a).max() > 0 for a in out.values())


@pytest.mark.parametrize("kept", [(), ("b",)])
@pytest.mark.parametrize(
    ("name", "options"), [("FedAvgM", {"server_momentum": 0.9}), ("FedAdam", {}), ("FedYogi", {})]
)
def test_a_restored_strategy_goes_on_as_if_it_had_not_stopped(name, options, kept):
    start = to_record({"a": torch.zeros(2, 3), "b": torch.zeros(4)})
    unbroken = Aggregation(name, PEOPLE, options)
    middle = one_round(unbroken, 2, one_round(unbroken, 1, start), kept)
    state = unbroken.state()
    assert state, "the strategy carries something"
    restored = Aggregation(name, PEOPLE, options)
    restored.restore(state)
    expected, found = values(one_round(unbroken, 3, middle)), values(one_round(restored, 3, middle))
    for key in expected:
        np.testing.assert_array_equal(expected[key], found[key])


def test_what_no_one_trained_is_not_moved_by_momentum_then_or_later():
    """One array moves by 1 whenever it is trained: every other round."""
    rounds, held = Aggregation("FedAvgM", 1, {"server_momentum": 0.5}), to_record({"a": torch.zeros(1)})
    grid, seen = LocalGrid(app, 1, {"run": "", "method": ""}), []
    for number in range(1, 6):
        rounds.train(number, held, grid)
        moves = number % 2
        reply = {0: Sent({"a": torch.tensor(held["a"].numpy()) + moves}, 1)}
        held = rounds.aggregate(number, reply, {} if moves else {"a": held["a"]})
        seen.append(held["a"].numpy().item())
    assert seen == [1, 1, 2.25, 2.25, 3.5625]  # momentum goes on to halve in rounds that keep the array


@pytest.mark.parametrize("option", ["fraction_train", "weighted_by_key", "min_train_nodes"])
def test_who_takes_part_is_not_an_option(option):
    with pytest.raises(FedgrowError, match=option):
        Aggregation("FedAvg", 2, {option: 1})


def test_an_unknown_option_is_named():
    with pytest.raises(FedgrowError, match="momentum_of_the_moon"):
        Aggregation("FedAvg", 2, {"momentum_of_the_moon": 1})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MultiKrum", {"num_nodes_to_select": 0}),
        ("MultiKrum", {"num_malicious_nodes": 1.5}),
        ("Bulyan", {"num_malicious_nodes": -1}),
        ("FedAdam", {"beta_1": 1.0}),
        ("FedAdagrad", {"tau": 0}),
        ("FedAvgM", {"server_learning_rate": float("nan")}),
    ],
)
def test_options_that_aggregate_nothing_are_refused_before_anything_is_trained(name, options):
    with pytest.raises(FedgrowError, match=f"strategy {name}.* with"):
        try_out(name, 7, 7, options)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_aggregates_as_it_comes(name):
    become_server(77)
    try_out(name, 7, 7, {})
    assert TaskIdentity.run_id == 77  # a site tries a plan in the middle of an answer


def test_an_aggregate_that_is_not_finite_is_told_by_its_array():
    one = Aggregation("FedAvg", 1, {})
    sent = {0: Sent({"maps": torch.tensor([1.0, float("inf")])}, 3)}
    with pytest.raises(
        FedgrowError, match=r"round 4: strategy FedAvg .*array 'maps' one of values not finite"
    ):
        one.aggregate(4, sent)
