"""What a site agreed to, counted over its folder: neither another name of a plan nor a round asked for again begins anew."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

from flwr.app import Message
from pydantic import BaseModel
from torch import Tensor

from fedgrow.config.plan import Plan
from fedgrow.config.site import LimitsPlan
from fedgrow.disk.atomic import read_json, read_record, write_json
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import ARRAYS, CONFIG, END, EVALUATE, GROW, LOCAL, SAVE, TAKEN
from fedgrow.exchange.records import from_record

APPROVED, GIVEN = "approved.json", "given.json"  # of an experiment
SETS = {LOCAL: 1, GROW: 1, EVALUATE: 3, SAVE: 1}
"""How many different sets of arrays, with what was taken before, are taken for a round. A round is begun again from the
same; what is evaluated after it may differ, in quorum mode, where the coordinator ended before it kept the round."""


class Refused(FedgrowError):
    """The site does not take part, or no longer: the plan or a limit says so."""


class Approved(BaseModel):
    """What ``approved.json`` holds: the plan's digest, and when it was approved."""

    digest: str
    time: float


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
        for first, known in approved.items():
            if known.digest == digest and first != name:
                raise Refused(
                    f"{name}: this plan was approved as {first}, once; for a new federation take another folder"
                )
        if name not in approved:
            self.check_time()

    def check_bytes(self, would: int) -> None:
        """Check how many bytes would have left, of all experiments.

        Raises:
            Refused: they are more than was agreed to.
        """
        if would > self.allowed.megabytes * 1e6:
            raise Refused(
                f"limits.megabytes: {would / 1e6:,.3f} MB would have left, {self.allowed.megabytes:g} are agreed"
            )

    def check_asked(self, experiment: Path, plan: Plan, message: Message, server_round: int) -> None:
        """Check a message to an experiment, and keep which arrays it brings.

        Raises:
            Refused: the time or the rounds are over, or the round was asked for with other
                arrays, or with others of its answers taken.
        """
        kind = message.metadata.message_type
        if kind not in (SAVE, END):
            self.check_time()
        if not int(kind == GROW) <= server_round <= plan.schedule.rounds:
            raise Refused(f"{kind}: round {server_round} is none of the plan's {plan.schedule.rounds}")
        if kind not in SETS:
            return
        given, step = _given(experiment), f"{kind} {server_round}"
        digest = digest_of_arrays(from_record(message.content.array_records[ARRAYS]))
        if (taken := message.content.config_records[CONFIG].get(TAKEN)) is not None:
            digest = f"{digest} {TAKEN} {taken!r}"
        known = given.get(step, [])
        if digest in known:
            return
        if len(known) == SETS[kind]:
            raise Refused(
                f"{kind}: round {server_round} was already answered for different arrays; a site answers a round only once"
            )
        if kind == GROW and sum(self._rounds().values()) >= self.allowed.rounds:
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
        """Return how many rounds of each experiment were taken part in."""
        paths = self._made(GIVEN)
        return {p.parent.name: sum(step.startswith(f"{GROW} ") for step in read_json(p)) for p in paths}


def _given(experiment: Path) -> dict[str, list[str]]:
    path = experiment / GIVEN
    return read_json(path) if path.is_file() else {}


def digest_of_arrays(arrays: Mapping[str, Tensor]) -> str:
    """Return a digest of names, types, shapes and values, however they lie in memory."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {list(array.shape)}\n".encode())
        digest.update(array.contiguous().numpy().tobytes())
    return digest.hexdigest()
