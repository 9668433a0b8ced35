"""Flower's strategies, made to speak fedgrow's messages and to sum in a fixed order.

What participants sent is taken in their order, so that a sum has one order and one type, whatever engine carried
the messages. Add a strategy by adding a line here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    Bulyan,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
)
from torch import Tensor

from fedgrow.approaches.base import Sent
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import ARRAYS, CONFIG, EVALUATE, GROW, METRICS, WEIGHT
from fedgrow.exchange.passing import PassingGrid
from fedgrow.exchange.records import to_record
from fedgrow.exchange.wire import as_server

ADAPTIVE = ("eta", "eta_l", "tau")


@dataclass(frozen=True)
class Strategy:
    """One of Flower's strategies.

    Attributes:
        kind: Flower's class.
        options: its own options; those that say who takes part are fedgrow's to set.
        of_mean: it begins with the mean of the replies, and needs no reply by itself.
        needed: how many answers of a round it needs (its paper's bound): so many for each malicious one, and so many more.
    """

    kind: type[FedAvg]
    options: tuple[str, ...] = ()
    of_mean: bool = False
    needed: tuple[int, int] = (0, 1)


STRATEGIES = {
    "FedAvg": Strategy(FedAvg, of_mean=True),
    "FedAvgM": Strategy(FedAvgM, ("server_learning_rate", "server_momentum"), of_mean=True),
    "FedAdam": Strategy(FedAdam, (*ADAPTIVE, "beta_1", "beta_2"), of_mean=True),
    "FedAdagrad": Strategy(FedAdagrad, ADAPTIVE, of_mean=True),
    "FedYogi": Strategy(FedYogi, (*ADAPTIVE, "beta_1", "beta_2"), of_mean=True),
    "FedMedian": Strategy(FedMedian),
    "FedTrimmedAvg": Strategy(FedTrimmedAvg, ("beta",)),
    "Krum": Strategy(Krum, ("num_malicious_nodes",), needed=(2, 3)),
    "MultiKrum": Strategy(MultiKrum, ("num_malicious_nodes", "num_nodes_to_select"), needed=(2, 3)),
    "Bulyan": Strategy(Bulyan, ("num_malicious_nodes",), needed=(4, 3)),
}


class Aggregation:
    """One of Flower's strategies with fedgrow's messages around it.

    Args:
        name: the strategy's name in ``STRATEGIES``.
        participants: how many take part in every round.
        options: the strategy's own options, such as ``eta``.
    """

    def __init__(self, name: str, participants: int, options: dict[str, float | int]) -> None:
        quorum = dict.fromkeys(("min_train_nodes", "min_evaluate_nodes", "min_available_nodes"), participants)
        self.name, self.known, self.options = name, STRATEGIES[name], options
        for option in options:
            if option not in self.known.options:
                raise FedgrowError(
                    f"strategy {name}: it has no option {option!r}; "
                    f"it has {', '.join(self.known.options) or 'none'}"
                )
        try:
            self.strategy = self.known.kind(**quorum, **options)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            reason = str(error).rpartition("() ")[2]
            raise FedgrowError(f"strategy {name}: {reason}; see the options of Flower's {name}") from None

    def train(self, server_round: int, arrays: ArrayRecord, grid: Grid) -> list[Message]:
        """Return the messages of a training round."""
        messages = self.strategy.configure_train(server_round, arrays, ConfigRecord(), grid)
        return _readdressed(messages, GROW, server_round)

    def evaluate(self, server_round: int, arrays: ArrayRecord, grid: Grid) -> list[Message]:
        """Return the messages of an evaluation round."""
        messages = self.strategy.configure_evaluate(server_round, arrays, ConfigRecord(), grid)
        return _readdressed(messages, EVALUATE, server_round)

    def aggregate(
        self, server_round: int, sent: Mapping[int, Sent], kept: Mapping[str, Array] = MappingProxyType({})
    ) -> ArrayRecord:
        """Aggregate the participants' operators; arrays that are kept stay as they are given, to the bit.

        A strategy that begins with the mean is given that, summed one reply after another in the participants' order and
        in float64; one that compares replies is given all of them.
        """
        taken = [mean(sent)] if self.known.of_mean else sent.values()
        replies = [_as_reply(one) for one in taken]
        arrays, _ = self.strategy.aggregate_train(server_round, replies)
        if arrays is None:
            raise FedgrowError(f"round {server_round}: {self.name} made no aggregate of {len(sent)} replies")
        found = to_record({name: array.numpy().astype(np.float32) for name, array in arrays.items()})
        for name, array in kept.items():
            found[name] = array
        self._check(server_round, next(iter(taken)).arrays, found)
        if isinstance(
            self.strategy, FedAvgM
        ):  # it goes by a copy of its own, where its momentum moved what is kept
            self.strategy.current_arrays = found
        return found

    def _check(self, server_round: int, sent: Mapping[str, Tensor], found: ArrayRecord) -> None:
        """Refuse an aggregate that is not of the arrays that were sent, or not finite."""
        for name in sorted({*sent, *found}):
            shapes = [tuple(arrays[name].shape) if name in arrays else None for arrays in (sent, found)]
            if shapes[0] != shapes[1] or not np.isfinite(found[name].numpy()).all():
                what = (
                    f"shape {shapes[1]}, sent was {shapes[0]}"
                    if shapes[0] != shapes[1]
                    else "values not finite"
                )
                raise FedgrowError(
                    f"round {server_round}: strategy {self.name} with the options {self.options or 'of Flower'} made of "
                    f"array {name!r} one of {what}; choose other options, or another strategy"
                )

    def state(self) -> dict[str, np.ndarray]:
        """Return what the strategy carries from round to round (momenta), to be written beside the operator."""
        state: dict[str, np.ndarray] = {}
        for attribute, value in sorted(vars(self.strategy).items()):
            if attribute == "current_arrays":  # the strategy takes these from the next round's broadcast
                continue
            items = (
                value.items()
                if isinstance(value, dict)
                else enumerate(value)
                if isinstance(value, list)
                else ()
            )
            state |= {f"{attribute}/{key}": array for key, array in items if isinstance(array, np.ndarray)}
        return state

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Take up the state of an earlier round."""
        carried: dict[str, dict[str, np.ndarray]] = {}
        for key, array in state.items():
            attribute, _, name = key.partition("/")
            carried.setdefault(attribute, {})[name] = array
        for attribute, arrays in carried.items():
            listed = all(name.isdigit() for name in arrays)
            value = [arrays[str(i)] for i in range(len(arrays))] if listed else arrays
            setattr(self.strategy, attribute, value)


class _Nodes(PassingGrid):
    """A grid of nodes that nothing reaches."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes

    def get_node_ids(self) -> Iterable[int]:
        """Return them."""
        return range(1, self.nodes + 1)


def try_out(name: str, participants: int, answers: int, options: dict[str, float | int]) -> None:
    """Aggregate a small array as a round would: answers that differ, and answers that change nothing.

    Args:
        name: the strategy's.
        participants: how many take part.
        answers: with how many of them a round may close.
        options: the strategy's own.

    Raises:
        FedgrowError: it has no such options, or makes nothing of such answers with them.
    """
    for apart in (0.01, 0.0):
        one = Aggregation(name, participants, options)
        sent = {i: Sent({"array": torch.full((4,), apart * (i + 1))}, 1) for i in range(answers)}
        try:
            with as_server(), np.errstate(all="ignore"):  # what comes of it is looked at
                one.train(1, to_record({"array": np.zeros(4, np.float32)}), _Nodes(participants))
                one.aggregate(1, sent)
        except FedgrowError:
            raise
        except Exception as error:  # Flower's strategies check few of their options
            raise FedgrowError(
                f"strategy {name}: with the options {options} it aggregates nothing ({type(error).__name__}: {error}); "
                f"see those of Flower's {name}"
            ) from None


def answers_needed(name: str, options: Mapping[str, float | int]) -> int:
    """Return how many answers of a round a strategy needs to withstand as many malicious ones as its options say."""
    times, more = STRATEGIES[name].needed
    return times * int(options.get("num_malicious_nodes", 0)) + more


def mean(sent: Mapping[int, Sent]) -> Sent:
    """Return the mean of what participants sent, weighted by their examples; one of them is in memory at a time."""
    sums: dict[str, Tensor] = {}
    total = 0
    for arrays, examples in sent.values():
        total += examples
        for name, array in arrays.items():
            part = array.double() * examples
            sums[name] = sums[name].add_(part) if name in sums else part
    return Sent({name: (summed / total).float() for name, summed in sums.items()}, total)


def _as_reply(sent: Sent) -> Message:
    metrics = MetricRecord({WEIGHT: sent.examples})
    return Message(RecordDict({ARRAYS: to_record(sent.arrays), METRICS: metrics}), 1, GROW)


def _readdressed(messages: Iterable[Message], message_type: str, server_round: int) -> list[Message]:
    """Readdress messages, in the order of their nodes: Flower draws the order at random, unseeded."""
    ordered = sorted(messages, key=lambda m: m.metadata.dst_node_id)
    return [readdress(m, message_type, server_round) for m in ordered]


def readdress(message: Message, message_type: str, server_round: int) -> Message:
    """Copy one of Flower's messages under fedgrow's type; Flower shares one record between all of them."""
    content = RecordDict(
        {ARRAYS: message.content[ARRAYS], CONFIG: ConfigRecord({"server-round": server_round})}
    )
    return Message(content, message.metadata.dst_node_id, message_type, group_id=str(server_round))


def checked(reply: Message) -> Message:
    """Return a reply.

    Raises:
        FedgrowError: it is an error; a site says no more than that there was one.
    """
    if reply.has_error():
        raise FedgrowError(f"a participant failed: {reply.error.reason}")
    return reply


def metrics_of(reply: Message) -> MetricRecord:
    """Return a reply's metrics."""
    return reply.content.metric_records[METRICS]
