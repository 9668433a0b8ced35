"""The contract: what may leave a participant. Checked at the last step before the network.

A reply may hold exactly the arrays of Global-LiGO, under the names, shapes and types that follow from the agreed
plan, and the scalar metrics that are listed here. Anything else, however small, stops the message.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from fedgrow.errors import ContractError

ARRAYS, METRICS, CONFIG = "arrays", "metrics", "config"
PREPARE, LOCAL, GROW, EVALUATE, SAVE = (
    "train.prepare",
    "train.local",
    "train.grow",
    "evaluate.grow",
    "query.save",
)
WEIGHT, PARTICIPANT = "num-examples", "participant"


@dataclass(frozen=True)
class ArraySpec:
    """Shape and type of one array that may leave."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Contract:
    """What the replies of one participant may hold.

    Attributes:
        arrays: the arrays of Global-LiGO, by name.
        task_metrics: names of the task's metrics.
        participant: the participant's number in the plan.
        with_arrays: message types whose reply carries the arrays.
    """

    arrays: Mapping[str, ArraySpec]
    task_metrics: tuple[str, ...]
    participant: int
    with_arrays: frozenset[str] = field(default=frozenset({GROW}))

    @classmethod
    def of(cls, shared: Mapping[str, Tensor], task_metrics: tuple[str, ...], participant: int) -> "Contract":
        """Make the contract for these shared tensors."""
        specs = {n: ArraySpec(tuple(t.shape), str(t.numpy().dtype)) for n, t in shared.items()}
        return cls(specs, task_metrics, participant)

    def metrics(self, message_type: str) -> frozenset[str]:
        """Return the metrics that a reply to this type of message may hold."""
        always = {WEIGHT, PARTICIPANT}
        return frozenset(
            {
                PREPARE: always,
                LOCAL: always | {"loss"},
                GROW: always | {"loss"},
                EVALUATE: always | {"loss", *self.task_metrics},
                SAVE: always,
            }.get(message_type, set())
        )

    def check(self, reply: Message) -> None:
        """Check a reply.

        Raises:
            ContractError: the reply holds anything that is not listed; the text names it, so it must stay at the site.
        """
        kind = reply.metadata.message_type
        allowed = self.metrics(kind)
        if not allowed:
            raise ContractError(f"messages of type {kind!r} are not in the plan")
        if reply.has_error():
            raise ContractError("an error reply was made outside the contract")
        content = reply.content
        expected = {METRICS, ARRAYS} if kind in self.with_arrays else {METRICS}
        if set(content) != expected:
            raise ContractError(
                f"reply to {kind} holds records {sorted(content)}; the plan lists {sorted(expected)}"
            )
        if ARRAYS in expected:
            self._check_arrays(content)
        self._check_metrics(content, allowed)

    def _check_arrays(self, content: RecordDict) -> None:
        record = content[ARRAYS]
        if not isinstance(record, ArrayRecord):
            raise ContractError(f"record {ARRAYS!r} is a {type(record).__name__}, not an ArrayRecord")
        extra, missing = sorted(set(record) - set(self.arrays)), sorted(set(self.arrays) - set(record))
        if extra or missing:
            raise ContractError(
                f"arrays not in the plan: {extra or 'none'}; arrays of the plan not sent: {missing or 'none'}"
            )
        for name, spec in self.arrays.items():
            array = record[name]
            found = ArraySpec(tuple(array.shape), array.dtype)
            if found != spec:
                raise ContractError(f"array {name!r} is {found}; the plan lists {spec}")
            values = array.numpy()
            if (values.shape, str(values.dtype)) != (spec.shape, spec.dtype):
                raise ContractError(
                    f"the bytes of array {name!r} decode to {values.dtype}{values.shape}, not {spec}"
                )
            if array.data != Array(values).data:
                raise ContractError(f"the bytes of array {name!r} hold more than its values")
            if not np.isfinite(values).all():
                raise ContractError(f"array {name!r} holds values that are not finite")

    def _check_metrics(self, content: RecordDict, allowed: frozenset[str]) -> None:
        record = content[METRICS]
        if not isinstance(record, MetricRecord):
            raise ContractError(f"record {METRICS!r} is a {type(record).__name__}, not a MetricRecord")
        extra = sorted(set(record) - allowed)
        if extra:
            raise ContractError(f"metrics not in the plan: {extra}; listed are {sorted(allowed)}")
        for name, value in record.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ContractError(f"metric {name!r} is {value!r}, not one finite number")
        if record.get(PARTICIPANT) != self.participant:
            raise ContractError(
                f"metric {PARTICIPANT!r} is {record.get(PARTICIPANT)!r}, not {self.participant}"
            )
