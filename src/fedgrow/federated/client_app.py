"""The ClientApp: translates messages into what a participant does, behind the contract."""

import contextlib
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor

from fedgrow.disk.atomic import append_line
from fedgrow.disk.events import emit
from fedgrow.errors import ContractError, FedgrowError
from fedgrow.exchange.contract import ARRAYS, CONFIG, GIVEN, METRICS, PARTICIPANT, TAKEN, WEIGHT, Contract
from fedgrow.exchange.records import from_record, to_record
from fedgrow.federated.member import Member, member_at
from fedgrow.training.loop import one_thread


class SiteError(Exception):
    """What the server may learn of a failure at a site: that there was one, and where its story is kept."""


def member_of(context: Context) -> Member:
    """Return the participant that a node stands for."""
    config = context.run_config
    return member_at(str(config["run"]), int(context.node_config["partition-id"]), str(config["method"]))


class SiteApp(ClientApp):
    """A ClientApp that lets nothing out but what the contract lists: neither in replies nor in exceptions.

    A message that is asked again, right after its answer was lost, is answered with that, and not carried out anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: tuple[object, RecordDict] | None = None  # what was asked, and what it was answered

    def __call__(self, message: Message, context: Context) -> Message:
        """Carry out a message.

        Raises:
            SiteError: anything went wrong; what and why is in the participant's own log only.
        """
        site: Member | None = None
        try:
            site = member_of(context)
            with one_thread():
                said = message.metadata
                asked = (site, said.message_type, said.group_id, message.content.object_id)
                if self._last is not None and self._last[0] == asked:
                    reply = Message(self._last[1], reply_to=message)
                else:
                    self._last = None
                    reply = super().__call__(message, context)
                contract = Contract.of(site.wire_start, site.plan.metrics, site.index, along=site.along)
                kept = contract.keep(message, reply)
                self._last = asked, kept.content
            emit(site.run.path, "reply", participant=site.index, to=message.metadata.message_type)
            return kept
        except Exception as error:
            if site is not None:
                with contextlib.suppress(Exception):  # whatever this meets, no text of it may travel
                    write_log(site, error)
            refused = (
                " (its reply broke the contract and was not sent)" if isinstance(error, ContractError) else ""
            )
        raise SiteError(f"see private/site.log in the participant's folder{refused}")


def write_log(site: Member, error: Exception) -> None:
    """Write an error into the participant's own log."""
    write_log_at(site.folder / "private" / "site.log", error)


def write_log_at(path: Path, error: Exception) -> None:
    """Write an error into a log of a site's own; the traceback only where it is not the user's to mend.

    Where the log cannot be written, the error is told on the site's own screen.
    """
    known = isinstance(error, FedgrowError)
    story = str(error) if known else "".join(traceback.format_exception(error)).rstrip()
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        append_line(path, f"{now} {story}")
    except OSError as full:
        print(f"{path} cannot be written ({full}); it would say: {error}", file=sys.stderr)


app = SiteApp()


@app.train("prepare")
def prepare(message: Message, context: Context) -> Message:
    """Prepare the small model."""
    site = member_of(context)
    site.prepare()
    return reply_with(message, site, {})


@app.train("local")
def train_local(message: Message, context: Context) -> Message:
    """Train Local-LiGO under the broadcast Global-LiGO; nothing but metrics goes back."""
    site = member_of(context)
    fitted = site.train_locally(arrays_of(message, site))
    return reply_with(message, site, {"loss": fitted.loss})


@app.train("grow")
def train_grow(message: Message, context: Context) -> Message:
    """Train for one round; Global-LiGO goes back."""
    site = member_of(context)
    given = site.given(arrays_of(message, site))
    along = {}
    if site.along:
        metrics = site.evaluate_round(given, round_of(message) - 1)
        along = {GIVEN + name: metrics[name] for name in site.plan.metrics}
    fitted = site.train_round(given, round_of(message), taken_of(message))
    return reply_with(message, site, {"loss": fitted.loss, **along}, fitted.shared)


@app.evaluate("grow")
def evaluate_grow(message: Message, context: Context) -> Message:
    """Evaluate on the participant's own held-out data."""
    site = member_of(context)
    metrics = site.evaluate_round(arrays_of(message, site), round_of(message))
    return reply_with(message, site, {name: metrics[name] for name in site.plan.metrics})


@app.query("save")
def save(message: Message, context: Context) -> Message:
    """Write the grown model into the participant's folder."""
    site = member_of(context)
    site.save_model(arrays_of(message, site), round_of(message))
    return reply_with(message, site, {})


def arrays_of(message: Message, site: Member) -> dict[str, Tensor]:
    """Return the broadcast arrays, checked, in a fixed order.

    Raises:
        FedgrowError: they are not what the plan lets be given.
    """
    arrays = from_record(message.content.array_records[ARRAYS])
    site.check_given(message.metadata.message_type, round_of(message), arrays)
    return arrays


def round_of(message: Message) -> int:
    """Return the round that a message belongs to."""
    config: ConfigRecord = message.content.config_records[CONFIG]
    return int(config["server-round"])  # type: ignore[arg-type]


def taken_of(message: Message) -> int | None:
    """Return the last round whose answer from this participant the server took, 0 for none; None: it takes all."""
    taken = message.content.config_records[CONFIG].get(TAKEN)
    return None if taken is None else int(taken)  # type: ignore[arg-type]


def reply_with(
    message: Message, site: Member, metrics: dict[str, float], arrays: dict[str, Tensor] | None = None
) -> Message:
    """Make a reply: metrics always, arrays where the message asks for them."""
    content = RecordDict(
        {METRICS: MetricRecord({PARTICIPANT: site.index, WEIGHT: len(site.train_data), **metrics})}
    )
    if arrays is not None:
        content[ARRAYS] = to_record(arrays)
    return Message(content, reply_to=message)
