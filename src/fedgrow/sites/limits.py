"""What a site agreed to, counted over its folder: neither another name of a plan nor a round asked for again begins anew."""

import hashlib
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flwr.app import Message
from pydantic import BaseModel
from torch import Tensor

from fedgrow.approaches import FED_GROW
from fedgrow.approaches.schedule import taking_part
from fedgrow.config.plan import Plan
from fedgrow.config.site import LimitsPlan
from fedgrow.disk.atomic import read_json, read_record, write_json
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import ARRAYS, CONFIG, END, EVALUATE, GROW, LOCAL, PREPARE, SAVE, TAKEN
from fedgrow.exchange.records import from_record

APPROVED, GIVEN = "approved.json", "given.json"  # of an experiment
EVALUATED = {"strict": 2, "quorum": 3}
"""How many different sets of arrays are evaluated after a round. Where the coordinator ends before it kept a round, that
is trained again, and comes to something else if others answer in time, or a site's machine computes otherwise since."""
FLOORS = {"clip_norm": 1e-2, "lowest learning rate": 1e-7}
"""Below these AdamW's steps are no longer of one size: they show gradients as they are, and undo what many steps hide."""


class Refused(FedgrowError):
    """The site does not take part, or no longer: the plan or a limit says so."""


class Approved(BaseModel):
    """What ``approved.json`` holds.

    Attributes:
        digest: the plan's.
        time: when it was approved.
        authority: digest of the certificate by which the coordinator was known.
        brings: what the site's file said it brings.
    """

    digest: str
    time: float
    authority: str
    brings: dict[str, Any]


class Limits:
    """A site's limits, over all experiments in its folder.

    Args:
        allowed: what the site's file says.
        folder: the site's.
    """

    def __init__(self, allowed: LimitsPlan, folder: Path) -> None:
        self.allowed, self.experiments = allowed, folder / "experiments"

    def check_plan(self, name: str, plan: Plan, digest: str) -> None:
        """Check what a plan asks for in all.

        Raises:
            Refused: it has too many rounds, it is new and the time is over, or it was approved under another name.
        """
        approved = self._approved()
        used = sum(rounds for other, rounds in self._rounds().items() if other != name)
        if used + plan.schedule.rounds > self.allowed.rounds:
            spent = f", of which {used} are used" if used else ""
            raise Refused(
                f"the plan has {plan.schedule.rounds} rounds; limits.rounds allows {self.allowed.rounds}{spent}"
            )
        if (first := self.known_as(digest)) not in (None, name):
            raise Refused(
                f"{name}: this plan was approved as {first}, once; for a new federation take another folder"
            )
        if name not in approved:
            self.check_time()
            self._check_training(plan)

    def known_as(self, digest: str) -> str | None:
        """Return the experiment as which a plan was approved; None if it was not yet."""
        return next((name for name, known in self._approved().items() if known.digest == digest), None)

    def check_examples(self, plan: Plan, there: int) -> None:
        """Check on how many examples a round trains Global-LiGO, repetitions counted; a batch holds no more than there are.

        Args:
            plan: the plan.
            there: the site's training examples.

        Raises:
            Refused: fewer than the site asks for.
        """
        rounds = FED_GROW.rounds(plan)[1:]
        steps = min(sum(steps for phase, steps in parts if phase != "local") for parts in rounds)
        examples = steps * min(plan.training.batch_size, there)
        if not plan.operator.frozen and examples < self.allowed.examples:
            raise Refused(
                f"a round of the plan trains Global-LiGO on {examples} examples (steps x batch size); limits.examples asks "
                f"for {self.allowed.examples}"
            )

    def _check_training(self, plan: Plan) -> None:
        """Refuse a plan whose rounds are of few examples, or whose settings would show gradients as they are."""
        self.check_examples(plan, plan.training.batch_size)
        training, rates = plan.training, (plan.operator.learning_rate, plan.local_operator.learning_rate)
        lowest = min(
            rate
            for rate in (*rates, training.head_learning_rate, training.small_learning_rate)
            if rate is not None
        )
        for name, value in (("clip_norm", training.clip_norm), ("lowest learning rate", lowest)):
            if value < FLOORS[name]:
                raise Refused(f"the plan's {name} is {value:g}; a site takes {FLOORS[name]:g} at least")

    def check_bytes(self, would: int) -> None:
        """Check how many bytes would have left, of all experiments.

        Raises:
            Refused: they are more than was agreed to.
        """
        if would > self.allowed.megabytes * 1e6:
            raise Refused(
                f"limits.megabytes: {would / 1e6:,.3f} MB would have left, {self.allowed.megabytes:g} are agreed"
            )

    def check_asked(
        self, experiment: Path, plan: Plan, participant: int, message: Message, server_round: int
    ) -> None:
        """Check a message to an experiment, and keep which arrays it brings.

        A round that is asked for again begins where it began: else one round could be had in several ways.

        Raises:
            Refused: the time or the rounds are over, the plan does not ask for this, or the round was asked for with
                other arrays, or with others of its answers taken.
            FedgrowError: the round was asked for after a later one; that is not answered, and the site goes on.
        """
        kind = message.metadata.message_type
        if kind not in (SAVE, END):
            self.check_time()
        rounds = _rounds_of(plan, participant, kind)
        if server_round not in rounds:
            raise Refused(
                f"{kind}: round {server_round} is none of the plan's: {_in_words(rounds, plan.schedule.rounds)}"
            )
        if kind not in (LOCAL, GROW, EVALUATE, SAVE):
            return
        given, step = _given(experiment), f"{kind} {server_round}"
        digest = digest_of_arrays(from_record(message.content.array_records[ARRAYS]))
        if (taken := message.content.config_records[CONFIG].get(TAKEN)) is not None:
            digest = f"{digest} {TAKEN} {taken!r}"
        known, begun = given.get(step, []), _begun(given)
        if server_round < max(begun, default=0) and (digest not in known or plan.may_miss_rounds):
            raise FedgrowError(f"{kind}: round {server_round} was asked for after round {max(begun)}")
        if digest in known:
            return
        if len(known) == (EVALUATED[plan.faults.mode] if kind == EVALUATE else 1):
            raise Refused(
                f"{kind}: round {server_round} was already answered for different arrays; a site answers a round only once"
            )
        if kind == EVALUATE and not plan.may_miss_rounds and f"{GROW} {server_round}" not in given:
            raise Refused(f"{kind}: round {server_round} was not trained here")
        new = kind in (GROW, EVALUATE) and server_round not in begun
        if new and sum(self._rounds().values()) >= self.allowed.rounds:
            raise Refused(f"limits.rounds: {self.allowed.rounds} rounds were taken part in")
        write_json(experiment / GIVEN, given | {step: [*known, digest]})

    def check_time(self) -> None:
        """Check how long ago the first approval was.

        Raises:
            Refused: longer than was agreed to.
        """
        first = min((approved.time for approved in self._approved().values()), default=time.time())
        if (hours := (time.time() - first) / 3600) > self.allowed.hours:
            raise Refused(
                f"{hours:.1f} hours since a plan was first approved here; limits.hours allows {self.allowed.hours:g}"
            )

    def _approved(self) -> dict[str, Approved]:
        paths = self._made(APPROVED)
        return {path.parent.name: read_record(path, Approved) for path in paths}

    def _made(self, name: str) -> list[Path]:
        """Return this file of every experiment; folders that begin with a dot were never whole."""
        return sorted(p for p in self.experiments.glob(f"*/{name}") if not p.parent.name.startswith("."))

    def _rounds(self) -> dict[str, int]:
        """Return how many rounds of each experiment were taken part in: trained, or evaluated."""
        return {path.parent.name: len(_begun(read_json(path))) for path in self._made(GIVEN)}


def _given(experiment: Path) -> dict[str, list[str]]:
    path = experiment / GIVEN
    return read_json(path) if path.is_file() else {}


def _begun(given: Mapping[str, list[str]]) -> set[int]:
    """Return the rounds that were trained or evaluated."""
    steps = (step.split() for step in given)
    return {int(number) for kind, number in steps if kind in (GROW, EVALUATE)}


def _rounds_of(plan: Plan, participant: int, kind: str) -> Collection[int]:
    """Return for which rounds a plan lets a participant be asked for something."""
    last, every = plan.schedule.rounds, range(1, plan.schedule.rounds + 1)
    if kind == GROW:
        return [r for r in every if participant in taking_part(plan, r)]
    if kind == EVALUATE:
        return [last] if plan.schedule.evaluation == "along" else every
    if kind == LOCAL:
        return [0] if FED_GROW.rounds(plan)[0] else []
    return {PREPARE: [0], SAVE: [last]}.get(kind, range(last + 1))


def _in_words(rounds: Collection[int], last: int) -> str:
    if len(rounds) == last:
        return f"there are {last}"
    return f"it has {', '.join(map(str, rounds))} of {last}" if rounds else "it has none"


def digest_of_arrays(arrays: Mapping[str, Tensor]) -> str:
    """Return a digest of names, types, shapes and values, however they lie in memory."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        digest.update(array.contiguous().numpy().tobytes())
    return digest.hexdigest()
