"""A site: it approves a plan once, then answers what the coordinator asks, within what it agreed to.

Nothing that the coordinator sends is run: a message is one of a fixed list of types, its plan is checked like a file
that a user wrote, and its arrays are read into the shapes that follow from that plan.
"""

import copy
import hashlib
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, MetricRecord, RecordDict

from fedgrow.approaches import FED_GROW
from fedgrow.architectures import Shape
from fedgrow.config.plan import NAME, Plan
from fedgrow.config.shown import read_shown
from fedgrow.config.site import SitePlan
from fedgrow.config.text import write_yaml
from fedgrow.disk.atomic import read_json, read_record, write_json, write_text
from fedgrow.disk.environment import this_fedgrow
from fedgrow.disk.events import emit
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import (
    ARRAYS,
    CONFIG,
    END,
    EVALUATE,
    GROW,
    LOCAL,
    METRICS,
    PARTICIPANT,
    PLAN,
    SAVE,
    WEIGHT,
    Contract,
)
from fedgrow.exchange.packing import packed, unpacked
from fedgrow.exchange.records import from_record
from fedgrow.exchange.wire import to_bytes
from fedgrow.federated.client_app import SiteError, write_log_at
from fedgrow.federated.client_app import app as client_app
from fedgrow.federated.leaving import Leaving
from fedgrow.federated.member import Member, member_at
from fedgrow.federated.resolve import metrics_of, resolve
from fedgrow.learners.base import Tensors
from fedgrow.runs.folder import RunFolder, deal, digest_of
from fedgrow.sites.flower import failed
from fedgrow.sites.ledger import Ledger
from fedgrow.sites.limits import APPROVED, Approved, Limits, Refused
from fedgrow.sites.trial import Trial, tried
from fedgrow.training.device import device_of

FAILED = "the site failed"  # all that it says of it: what and why is in its own logs
SLACK = 1_000_000  # bytes that packed arrays may take beside twice their values
BRINGS = (
    "model",
    "data",
    "tokenizer",
    "prepare",
)  # settings of the site's file that stand for its part of the plan
LEDGER = "ledger.jsonl"  # of an experiment; in the site's folder: of answers that belong to none
Approve = Callable[[Plan, str], bool]
"""Asked once for a plan and its digest: does this site take part?"""


@dataclass(frozen=True)
class Joined:
    """One experiment at this site: its folder, and what it calls itself."""

    run: RunFolder
    index: int

    @property
    def ledger(self) -> Path:
        """Where what left is written down."""
        return self.run.path / LEDGER


class Site:
    """Answers messages.

    Args:
        settings: the site's own file.
        approve: asked for a plan that is not approved yet.
    """

    def __init__(self, settings: SitePlan, approve: Approve) -> None:
        self.settings, self.approve = settings, approve
        self.folder = Path(settings.folder)
        self.limits = Limits(settings.limits, self.folder)
        self._ledgers: dict[Path, Ledger] = {}
        self._opened: dict[Path, Joined] = {}
        self.ended = False
        self.refused: FedgrowError | None = (
            None  # why it ends: the plan, a limit, or a mistake in its own file
        )
        self.saved = self._saved()
        self._left()  # a ledger that is not whole is told at once

    def _saved(self) -> bool:
        """Tell whether the last that this coordinator, and no other, asked for was to save the model."""
        if not (names := list(self._runs().values())):
            return False
        last = self.folder / "experiments" / names[-1]
        ours = read_record(last / APPROVED, Approved).authority == self._authority()
        return ours and self._ledger(last / LEDGER).last == SAVE

    def _authority(self) -> str:
        """Return a digest of the certificate by which the coordinator is known."""
        certificate = Path(self.settings.certificate)
        return hashlib.sha256(certificate.read_bytes() if certificate.is_file() else b"").hexdigest()

    def reply(self, message: Message) -> Message:
        """Answer a message; where that fails, say so and no more. Both are in a ledger before they leave.

        Raises:
            FedgrowError: the ledger cannot be written; nothing leaves without it.
            Refused: not even that may leave, by ``limits.megabytes``.
        """
        try:
            return self.answer(message)
        except Exception as error:
            if not isinstance(error, SiteError):  # else it is in a log already
                self._note(error)
        self._ledgers.clear()  # one that could not be written has to be read anew
        said = failed(FAILED, message)
        name = self._runs().get(str(message.metadata.run_id))
        path = self.folder / "experiments" / name if name is not None else self.folder
        self.limits.check_bytes(self._left() + len(to_bytes(said)))
        self._ledger(path / LEDGER).enter(said, 0)
        return said

    def answer(self, message: Message) -> Message:
        """Return the reply that leaves: checked against the contract, and entered in the ledger.

        Raises:
            SiteError: it could not be answered; that is all that may be said of it.
        """
        kind, round_ = message.metadata.message_type, _round(message)
        try:
            if kind == PLAN:
                round_ = 0
                experiment = self._take_up(message)
            else:
                experiment = self._experiment(message.metadata.run_id)
                message = self._unpacked(message, experiment)
                run = experiment.run
                self.limits.check_asked(run.path, run.plan, experiment.index, message, round_)
        except SiteError:
            raise
        except Exception as error:
            self._note(error)
            raise SiteError("see site.log in the site's folder") from None
        if kind in (PLAN, END):
            reply = self._plain(message, experiment)
        else:
            self._participant(experiment).watch = self._watch
            reply = client_app(message, self._context(message, experiment))  # behind the contract
        ledger = self._ledger(experiment.ledger)
        leaving = Message(packed(reply.content), reply_to=message)
        try:
            self.limits.check_bytes(self._left() + len(to_bytes(leaving)))
        except Refused as error:
            self._note(error)
            raise SiteError("see site.log in the site's folder") from None
        line = ledger.enter(leaving, round_)
        emit(experiment.run.path, "left", to=kind, round=round_, bytes=line["bytes"])
        self.saved = ledger.last == SAVE
        self.ended |= kind == END
        return leaving

    def _unpacked(self, message: Message, experiment: Joined) -> Message:
        """Unpack what a message brings, if that can be the arrays of the plan, and check it.

        Raises:
            FedgrowError: it holds more, or something else.
        """
        site, kind = self._participant(experiment), message.metadata.message_type
        held = [array.data for record in message.content.array_records.values() for array in record.values()]
        due = sum(array.nbytes for array in site.shared_start.values())
        if (found := sum(map(len, held))) > 2 * due + SLACK:
            raise FedgrowError(f"{kind}: it brings {found:,} bytes of arrays; the plan has {due:,}")
        message = copy.copy(message)
        message.content = unpacked(message.content)
        if kind in (LOCAL, GROW, EVALUATE, SAVE):
            site.check_given(kind, _round(message), from_record(message.content.array_records[ARRAYS]))
        return message

    # the plan, and what it may ask for

    def _take_up(self, message: Message) -> Joined:
        """Check the plan that a message shows, have it approved once, and make the experiment's folder."""
        config = message.content.config_records[CONFIG]
        name, text, digest = str(config["experiment"]), str(config["plan"]), str(config["digest"])
        if (theirs := str(config.get("fedgrow", "of no known version"))) != this_fedgrow():
            raise Refused(
                f"the coordinator has fedgrow {theirs[:40]!r}, this site has {this_fedgrow()!r}: the same plan may mean "
                "another operator there; install the same, and join again"
            )
        if not re.fullmatch(NAME, name):
            raise FedgrowError(f"{name[:80]!r} is not a valid name of an experiment")
        if digest_of(text) != digest:
            raise FedgrowError("the plan is not the one that its digest says")
        shown = read_shown(text)
        self.check(shown)
        self.limits.check_plan(name, shown, digest)
        path = self.folder / "experiments" / name
        if (path / "run.json").is_file():
            experiment = self._open(path)
            if read_record(path / APPROVED, Approved).digest != digest:
                raise Refused(
                    f"the plan of {name} is not the one that was approved; a changed plan is a new experiment"
                )
        else:
            self.check_new(shown, digest)
            if self.settings.plan is None and not self.approve(shown, digest):
                raise Refused("the plan was not approved")
            experiment = self._make(path, shown, digest)
        runs = self._runs()
        write_json(self.folder / "runs.json", runs | {str(message.metadata.run_id): name})
        return experiment

    def check_new(self, plan: Plan, digest: str) -> None:
        """Check, of a plan that is new here, how much would leave, and that it is the one that is pinned.

        Raises:
            Refused: it is more than was agreed to, or another plan.
        """
        self.limits.check_bytes(self._left() + Leaving.of(plan).all_bytes)
        if self.settings.plan is not None and self.settings.plan != digest:
            raise Refused(f"the plan's digest is {digest}; the site's file pins {self.settings.plan}")

    def check(self, plan: Plan) -> None:
        """Check that a plan asks for no more than the site agrees to, and is for it.

        Raises:
            Refused: it does, or is not; the text says why.
        """
        if self.settings.name not in plan.names:
            raise Refused(f"the plan has no participant {self.settings.name}; it has {', '.join(plan.names)}")
        if plan.baselines:
            raise Refused(
                f"the plan names baselines ({', '.join(plan.baselines)}); nothing but Global-LiGO leaves a site"
            )
        brought = {name for entry in plan.participants for name in entry.brought}
        if plan.data is not None or brought:
            raise Refused(
                f"the plan names {', '.join(sorted(brought)) or 'data'}; a site's own file does that"
            )
        if plan.operator.trained is not None:
            raise Refused("operator.trained: a plan for sites cannot name a folder")
        if plan.family is None or not isinstance(plan.intermediate, Shape):
            raise Refused(
                "the plan leaves its family or intermediate shape open; it has to say what is trained"
            )
        try:
            device_of(plan.training)
        except FedgrowError as error:
            raise Refused(f"{error}, and have the coordinator begin anew with it") from None
        if plan.metrics != metrics_of(plan):
            raise Refused("metrics: the plan lists none; it has to say what leaves")
        self._check_metrics(plan)

    def _check_metrics(self, plan: Plan) -> None:
        limits = self.settings.limits
        if limits.metrics is not None and (more := [n for n in plan.metrics if n not in limits.metrics]):
            raise Refused(
                f"the plan asks for the metrics {', '.join(plan.metrics)}; limits.metrics does not allow {', '.join(more)}"
            )

    def rehearse(self, shown: Plan, digest: str) -> Trial:
        """Check a plan as if the coordinator showed it: nothing is asked, sent or kept.

        Raises:
            Refused: the site would not take part, or no longer.
            FedgrowError: something is wrong in the site's own file, model or data.
        """
        known = self.limits.known_as(digest)
        self.check(shown)
        self.limits.check_plan(known or "", shown, digest)
        if known is None:
            self.check_new(shown, digest)
        else:
            self.limits.check_time()
            self._open(self.folder / "experiments" / known)
        return self._own(shown)[1]

    def _own(self, shown: Plan) -> tuple[Plan, Trial]:
        """Return a plan with what this site brings, tried on its model and data.

        Raises:
            Refused: with this site's model it would be another plan, or a round trains on too few examples.
            FedgrowError: something is wrong in the site's own file, model or data.
        """
        index = shown.names.index(self.settings.name)
        brings = {name: getattr(self.settings, name) for name in BRINGS}
        mine = shown.participants[index].model_copy(update=brings)
        people = (*shown.participants[:index], mine, *shown.participants[index + 1 :])
        plan = resolve(shown.model_copy(update={"participants": people}))
        deal(plan)
        for name in ("family", "intermediate", "large", "metrics"):
            if getattr(plan, name) != getattr(shown, name):
                raise Refused(
                    f"{name} is {getattr(plan, name)} with this site's model; the plan says {getattr(shown, name)}"
                )
        trial = tried(plan, self.settings.name)
        self.limits.check_examples(plan, trial.train)
        return plan, trial

    def _make(self, path: Path, shown: Plan, digest: str) -> Joined:
        try:
            plan, _ = self._own(shown)
        except FedgrowError as error:
            self.refused = error  # it is in the site's own file: asked again, it would fail again
            raise
        if path.exists():  # begun, and never whole
            shutil.rmtree(path)

        def more(folder: Path) -> None:
            write_text(folder / "shown.yaml", write_yaml(shown.model_dump(mode="json")))
            approved = Approved(
                digest=digest, time=time.time(), authority=self._authority(), brings=self._brings()
            )
            write_json(folder / APPROVED, approved.model_dump())

        self._opened[path] = Joined(
            RunFolder.create(path, plan, "site", more), plan.names.index(self.settings.name)
        )
        return self._opened[path]

    def _open(self, path: Path) -> Joined:
        """Open an experiment; what the site brings has to be what it was. Looked at once a process."""
        if path not in self._opened:
            run = RunFolder(path)
            before, now = read_record(path / APPROVED, Approved).brings, self._brings()
            for name in BRINGS:
                if before[name] != now[name]:
                    raise Refused(
                        f"the site's file says {name}: {now[name]}; when the plan was approved it was {before[name]}: "
                        "bring it back, or take part in a new federation from another folder"
                    )
            self._check_metrics(run.plan)
            if (what := run.changed()) is not None:
                raise Refused(
                    f"{what} changed since the plan was approved; bring it back, or take part in a new federation from "
                    "another folder"
                )
            self._opened[path] = Joined(run, run.plan.names.index(self.settings.name))
        return self._opened[path]

    def _brings(self) -> dict[str, Any]:
        return self.settings.model_dump(mode="json", include=set(BRINGS))

    def _runs(self) -> dict[str, str]:
        path = self.folder / "runs.json"
        return read_json(path) if path.is_file() else {}

    def _experiment(self, run_id: int) -> Joined:
        name = self._runs().get(str(run_id))
        if name is None:
            raise FedgrowError("a message of a run whose plan was not shown")
        return self._open(self.folder / "experiments" / name)

    # answers

    def _context(self, message: Message, experiment: Joined) -> Context:
        """Return what the ClientApp is told: from this site's disk, nothing of it from the network."""
        where = {"run": str(experiment.run.path), "method": FED_GROW.name}
        return Context(
            message.metadata.run_id,
            message.metadata.dst_node_id,
            {"partition-id": experiment.index},
            RecordDict(),
            dict(where),
        )

    def _plain(self, message: Message, experiment: Joined) -> Message:
        """Say no more than that the message was heard."""
        site = self._participant(experiment)
        metrics = MetricRecord({PARTICIPANT: site.index, WEIGHT: len(site.train_data)})
        reply = Message(RecordDict({METRICS: metrics}), reply_to=message)
        contract = Contract.of(site.wire_start, site.plan.metrics, site.index, along=site.along)
        return contract.keep(message, reply)

    def _participant(self, experiment: Joined) -> Member:
        return member_at(str(experiment.run.path), experiment.index, FED_GROW.name)

    def _watch(self, step: int, loss: float, state: Tensors) -> bool:
        """Look at the clock after every step of training.

        Raises:
            Refused: the time is over.
        """
        try:
            self.limits.check_time()
        except Refused as error:
            self._note(error)
            raise
        return False

    def _ledger(self, path: Path) -> Ledger:
        if path not in self._ledgers:
            self._ledgers[path] = Ledger(path)
        return self._ledgers[path]

    def _left(self) -> int:
        """Return how many bytes have left so far, of all experiments."""
        paths = [self.folder / LEDGER, *self.folder.glob(f"experiments/*/{LEDGER}")]
        return sum(self._ledger(path).bytes for path in paths)

    def _note(self, error: Exception) -> None:
        """Keep what went wrong in the site's own log."""
        if isinstance(error, Refused):
            self.refused = error
        write_log_at(self.folder / "site.log", error)


def _round(message: Message) -> int:
    config: Any = message.content.config_records.get(CONFIG, {})
    return int(config.get("server-round", 0))
