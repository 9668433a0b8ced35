"""Ask sites and gather what they answer, whatever happens to them on the way.

A site may be away, come back, be too slow, or answer what it may not. It is asked again where it was away since, or where
what it answered cannot be taken; training from the same round gives the same answer, so that asking twice changes
nothing. In strict mode all have to answer, however long one takes. In quorum mode a phase is closed at its deadline
with those that have answered, if they are enough; what comes later is not looked at.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic, sleep

from flwr.app import Message
from flwr.serverapp import Grid

from fedgrow.config.plan import FaultsPlan
from fedgrow.errors import ContractError, FedgrowError
from fedgrow.exchange.contract import Contract
from fedgrow.exchange.packing import packed, unpacked
from fedgrow.exchange.wire import LOST, UNREADABLE

POLL = 0.2  # seconds between looks for answers, at first
POLL_MOST = 1.0  # and when the last one was a while ago: every look is a call for every site
LOOK_EVERY = 1.0  # seconds between looks for who is there
AGAIN_AFTER = 5.0  # seconds until a site is asked again whose answer was refused; then twice as many
AGAIN_MOST = 1800.0  # and so on, up to these
MOST_REFUSED = 5  # answers of a site in one phase that cannot be taken
MOST_FAILED = 50  # answers that say that it failed: over about a day, for its disk may be full for now

Tell = Callable[..., None]


@dataclass
class Pending:
    """Where a site is with one phase.

    Attributes:
        message: what it is asked.
        ids: the messages that it was asked by and has not answered.
        ask_at: when it is asked, or asked again.
        since: since when its node was there when it was asked.
        refused: how many of its answers could not be taken.
        failed: how many of them said that it failed.
        why: why the last of these was refused.
    """

    message: Message
    ids: set[str] = field(default_factory=set)
    ask_at: float = 0.0
    since: str = ""
    refused: int = 0
    failed: int = 0
    why: str = ""


class Collector:
    """Gathers the answers of one phase after another.

    Args:
        grid: what carries the messages.
        plan: what to do when sites do not answer.
        nodes: each participant's node, by number.
        names: the participants' names.
        contracts: what the reply of each participant may hold.
        read: takes what a reply brings, or raises where it cannot be taken.
        tell: told of what happens (``asked``, ``answered``, ``refused``, ``left out``).
        alive: raises where there is no reason to wait any longer.
    """

    def __init__(
        self,
        grid: Grid,
        plan: FaultsPlan,
        nodes: Mapping[int, int],
        names: list[str],
        contracts: Mapping[int, Contract],
        read: Callable[[int, Message, Message], None],
        tell: Tell,
        alive: Callable[[], None],
    ) -> None:
        self.grid, self.plan, self.nodes, self.names = grid, plan, dict(nodes), names
        self.contracts, self.read, self.tell, self.alive = contracts, read, tell, alive

    def __call__(self, messages: Iterable[Message]) -> list[Message]:
        """Return the checked answers, in the participants' order.

        Raises:
            FedgrowError: nobody has answered within the plan's patience, or too few by the deadline, or, in strict mode, a
                site's answers cannot be taken.
        """
        index_of = {node: index for index, node in self.nodes.items()}
        asked = {index_of[m.metadata.dst_node_id]: Pending(m) for m in messages}
        answers: dict[int, Message] = {}
        began = heard = monotonic()
        looked, there = -math.inf, dict[int, str]()
        while len(answers) < len(asked):
            self.alive()
            now = monotonic()
            if now - looked > LOOK_EVERY:
                looked, there = now, {int(n.node_id): n.last_activated_at for n in self.grid.get_nodes()}
            for index, entry in asked.items():
                since = there.get(self.nodes[index])
                if index not in answers and since is not None:
                    away = bool(entry.ids) and since != entry.since  # since it was asked: that may be lost
                    if away or now >= entry.ask_at:
                        self._ask(entry, now, since)
            for index, entry in asked.items():
                if index not in answers and (answer := self._answer(index, entry)) is not None:
                    answers[index], heard = answer, monotonic()
            if len(answers) < len(asked):
                if self._closed(asked, answers, monotonic() - began):
                    break
                if monotonic() - heard > self.plan.patience:
                    raise FedgrowError(
                        f"no answer from {self._named(asked, answers)} for {self.plan.patience:.0f} s (faults.patience)"
                        f"{self._refused(asked, answers)}; "
                        "go on with `fedgrow server --resume` when they are there"
                    )
                sleep(min(POLL + (monotonic() - heard) / 20, max(POLL, POLL_MOST)))
        return [answers[index] for index in sorted(answers)]

    def _ask(self, entry: Pending, now: float, since: str) -> None:
        message, strict = entry.message, self.plan.mode == "strict"
        again = Message(
            packed(message.content),
            message.metadata.dst_node_id,
            message.metadata.message_type,
            ttl=self.plan.patience if strict else 2 * self.plan.deadline + 600.0,
            group_id=message.metadata.group_id,
        )
        entry.ids |= set(self.grid.push_messages([again]))
        entry.since = since
        entry.ask_at = now + (self.plan.patience / 2 if strict else math.inf)  # lost, and nobody said so

    def _answer(self, index: int, entry: Pending) -> Message | None:
        for reply in self.grid.pull_messages(sorted(entry.ids)) if entry.ids else ():
            entry.ids.discard(reply.metadata.reply_to_message_id)
            try:
                checked = self._checked(index, entry.message, reply)
            except (ContractError, FedgrowError) as error:
                self.tell("refused", participant=index, reason=str(error))
                self._refuse(index, entry, reply, str(error))
            else:
                self.tell("answered", participant=index)
                return checked
        return None

    def _refuse(self, index: int, entry: Pending, reply: Message, why: str) -> None:
        """Settle when a site is asked again after an answer that cannot be taken, if it is.

        Raises:
            FedgrowError: it is not, and all have to answer.
        """
        if reply.has_error() and reply.error.code in LOST:  # on the way, not the site's doing
            entry.ask_at = monotonic() + AGAIN_AFTER
            return
        if reply.has_error() and reply.error.code != UNREADABLE:
            entry.failed += 1
        else:
            entry.refused += 1
        entry.why = why
        entry.ask_at = monotonic() + min(AGAIN_AFTER * 2 ** (entry.failed + entry.refused - 1), AGAIN_MOST)
        if entry.failed < MOST_FAILED and entry.refused < MOST_REFUSED:
            return
        if self.plan.mode == "strict":
            raise FedgrowError(
                f"no answer of {self.names[index]} could be taken, the last of "
                f"{entry.failed + entry.refused} for: {why}; go on with `fedgrow server --resume` when that is mended"
            )
        entry.ask_at = math.inf

    def _checked(self, index: int, request: Message, reply: Message) -> Message:
        """Return a reply if it is what the contract lists, of this participant and this round."""
        if reply.has_error() and reply.error.code == UNREADABLE:
            raise FedgrowError("what it answered is no message")
        if reply.has_error():  # it says no more than that; the site's own log says why
            raise FedgrowError(f"the site could not answer (code {reply.error.code})")
        asked, answered = (m.metadata.group_id for m in (request, reply))
        if asked != answered:
            raise FedgrowError(f"an answer of round {answered[:40]!r}, expected {asked!r}")
        reply.content = unpacked(reply.content)
        reply.content = self.contracts[index].check(request.metadata.message_type, reply)
        self.read(index, request, reply)
        return reply

    def _closed(self, asked: Mapping[int, Pending], answers: Mapping[int, Message], seconds: float) -> bool:
        """Tell whether a phase is closed though some have not answered."""
        if self.plan.mode != "quorum" or seconds < self.plan.deadline:
            return False
        if len(answers) < self.plan.enough(len(asked)):
            return False
        for index in sorted(set(asked) - set(answers)):
            self.tell("left out", participant=index, reason=f"no answer within {self.plan.deadline:.0f} s")
        return True

    def _named(self, asked: Mapping[int, Pending], answers: Mapping[int, Message]) -> str:
        return ", ".join(self.names[i] for i in sorted(set(asked) - set(answers)))

    def _refused(self, asked: Mapping[int, Pending], answers: Mapping[int, Message]) -> str:
        """Return why the last answers of those that are missing could not be taken, as far as there were any."""
        return "".join(
            f"; {self.names[i]}'s last was refused: {entry.why}"
            for i, entry in sorted(asked.items())
            if i not in answers and entry.why
        )
