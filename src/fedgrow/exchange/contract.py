"""The contract: what may leave a participant. Checked at the last step before the network.

A reply may hold exactly the arrays of Global-LiGO, under the names, shapes and types that follow from the agreed
plan, and the scalar metrics that are listed here. Anything else, however small, stops the message.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from fedgrow.errors import ContractError
from fedgrow.exchange.records import to_record

ARRAYS, METRICS, CONFIG = "arrays", "metrics", "config"
PLAN, PREPARE, LOCAL, GROW, EVALUATE, SAVE, END = (
    "query.plan",
    "train.prepare",
    "train.local",
    "train.grow",
    "evaluate.grow",
    "query.save",
    "query.end",
)
WEIGHT, PARTICIPANT = "num-examples", "participant"
TAKEN = "taken"  # in what a round is asked with, where answers may be missing: the last round of which one was taken
GIVEN = "given."  # before the name of a metric: it is of the arrays as they were given, before training


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
        evaluation: names of the metrics that the plan lists for evaluation.
        participant: the participant's number in the plan.
        along: whether these come along with training, too: ``given.`` before a name says that it is of the given arrays.
    """

    arrays: Mapping[str, ArraySpec]
    evaluation: tuple[str, ...]
    participant: int
    along: bool = False

    @classmethod
    def of(
        cls,
        shared: Mapping[str, Tensor],
        evaluation: tuple[str, ...],
        participant: int,
        *,
        along: bool = False,
    ) -> "Contract":
        """Make the contract for these shared tensors."""
        specs = {n: ArraySpec(tuple(t.shape), str(t.numpy().dtype)) for n, t in shared.items()}
        return cls(specs, evaluation, participant, along)

    def metrics(self, message_type: str) -> frozenset[str]:
        """Return the metrics that a reply to this type of message holds; none for a type that is not in the plan."""
        always = {WEIGHT, PARTICIPANT}
        listed = {
            PLAN: always,
            PREPARE: always,
            LOCAL: always | {"loss"},
            GROW: always | {"loss"} | ({GIVEN + name for name in self.evaluation} if self.along else set()),
            EVALUATE: always | set(self.evaluation),
            SAVE: always,
            END: always,
        }
        return frozenset(listed.get(message_type, set()))

    def keep(self, request: Message, reply: Message) -> Message:
        """Check a reply and return the message that travels: made anew from the checked values and nothing else.

        Metadata of the reply that was handed in, and the layout of its bytes, do not travel.

        Raises:
            ContractError: the reply holds anything that is not listed; the text names it, so it must stay at the site.
        """
        return Message(self.check(request.metadata.message_type, reply), reply_to=request)

    def check(self, kind: str, reply: Message) -> RecordDict:
        """Return the content of a reply to a message of this type, made anew from the checked values.

        Raises:
            ContractError: the reply holds anything that is not listed.
        """
        listed = self.metrics(kind)
        if not listed:
            raise ContractError(f"messages of type {kind!r} are not in the plan")
        if reply.has_error():
            raise ContractError("an error reply was made outside the contract")
        expected = {METRICS, ARRAYS} if kind == GROW else {METRICS}
        if set(reply.content) != expected:
            found = sorted(reply.content)
            raise ContractError(f"reply to {kind} holds records {found}; the plan lists {sorted(expected)}")
        content = RecordDict({METRICS: self._metrics(reply.content, listed)})
        if ARRAYS in expected:
            content[ARRAYS] = to_record(self._arrays(reply.content))
        return content

    def _arrays(self, content: RecordDict) -> dict[str, np.ndarray]:
        record = content[ARRAYS]
        if not isinstance(record, ArrayRecord):
            raise ContractError(f"record {ARRAYS!r} is a {type(record).__name__}, not an ArrayRecord")
        extra, missing = sorted(set(record) - set(self.arrays)), sorted(set(self.arrays) - set(record))
        if extra or missing:
            raise ContractError(
                f"arrays not in the plan: {extra or 'none'}; arrays of the plan not sent: {missing or 'none'}"
            )
        checked = {}
        for name, spec in self.arrays.items():
            array = record[name]
            found = ArraySpec(tuple(array.shape), array.dtype)
            if found != spec:
                raise ContractError(f"array {name!r} is {found}; the plan lists {spec}")
            try:
                values = array.numpy()
            except Exception as error:  # NumPy's reader raises what it likes at damaged bytes
                raise ContractError(f"the bytes of array {name!r} are no array") from error
            if (values.shape, str(values.dtype)) != (spec.shape, spec.dtype):
                raise ContractError(
                    f"the bytes of array {name!r} decode to {values.dtype}{values.shape}, not {spec}"
                )
            if len(array.data) != len(Array(values).data):
                raise ContractError(f"the bytes of array {name!r} hold more than its values")
            if not np.isfinite(values).all():
                raise ContractError(f"array {name!r} holds values that are not finite")
            checked[name] = values
        return checked

    def _metrics(self, content: RecordDict, listed: frozenset[str]) -> MetricRecord:
        record = content[METRICS]
        if not isinstance(record, MetricRecord):
            raise ContractError(f"record {METRICS!r} is a {type(record).__name__}, not a MetricRecord")
        extra, missing = sorted(set(record) - listed), sorted(listed - set(record))
        if extra or missing:
            raise ContractError(
                f"metrics not in the plan: {extra or 'none'}; metrics of the plan not sent: {missing or 'none'}"
            )
        for name, value in record.items():
            kind = int if name in (WEIGHT, PARTICIPANT) else float
            if type(value) is not kind or not math.isfinite(value):
                raise ContractError(f"metric {name!r} is {value!r}, not one finite {kind.__name__}")
        if record[PARTICIPANT] != self.participant:
            raise ContractError(f"metric {PARTICIPANT!r} is {record[PARTICIPANT]!r}, not {self.participant}")
        if not 0 < int(record[WEIGHT]) < 2**31:  # type: ignore[arg-type]
            raise ContractError(f"metric {WEIGHT!r} is {record[WEIGHT]!r}, not a number of examples")
        return MetricRecord({name: record[name] for name in sorted(record)})
