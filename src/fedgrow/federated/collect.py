"""Ask sites and gather what they answer, whatever happens to them on the way.

A site may be away, come back, be too slow, or answer what it may not. In strict mode it is asked again until it has
answered; training from the same round gives the same answer, so that asking twice changes nothing. In quorum mode
a phase is closed at its deadline with those that have answered, if they are enough; what comes later is not looked at.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic, sleep

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedgrow.config.plan import FaultsPlan
from fedgrow.errors import ContractError, FedgrowError
from fedgrow.exchange.contract import Contract

POLL = 0.2  # seconds between looks for answers
LOOK_EVERY = 1.0  # seconds between looks for who is there
AGAIN_AFTER = 5.0  # seconds after a refused answer until a site is asked again

Tell = Callable[..., None]


@dataclass
class Asked:
    """Where a site is with one phase.

    Attributes:
        message: what it is asked.
        ids: the messages that it was asked by and has not answered.
        ask_at: when it is asked, or asked again.
    """

    message: Message
    ids: set[str] = field(default_factory=set)
    ask_at: float = 0.0


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
            FedgrowError: nobody has answered within the plan's patience, or too few by the deadline.
        """
        index_of = {node: index for index, node in self.nodes.items()}
        asked = {index_of[m.metadata.dst_node_id]: Asked(m) for m in messages}
        answers: dict[int, Message] = {}
        began = heard = monotonic()
        looked, there = -math.inf, set[int]()
        while len(answers) < len(asked):
            self.alive()
            now = monotonic()
            if now - looked > LOOK_EVERY and any(
                i not in answers and now >= e.ask_at for i, e in asked.items()
            ):
                looked, there = now, {int(node.node_id) for node in self.grid.get_nodes()}
            for index, entry in asked.items():
                if index not in answers and now >= entry.ask_at and self.nodes[index] in there:
                    self._ask(index, entry, now)
            for index, entry in asked.items():
                if index not in answers and (answer := self._answer(index, entry)) is not None:
                    answers[index], heard = answer, monotonic()
            if len(answers) < len(asked):
                if self._closed(asked, answers, monotonic() - began):
                    break
                if monotonic() - heard > self.plan.patience:
                    raise FedgrowError(
                        f"no answer from {self._named(asked, answers)} for {self.plan.patience:.0f} s (faults.patience); "
                        "go on with `fedgrow server --resume` when they are there"
                    )
                sleep(POLL)
        return [answers[index] for index in sorted(answers)]

    def _ask(self, index: int, entry: Asked, now: float) -> None:
        message = entry.message
        content = RecordDict(dict(message.content.items()))
        again = Message(
            content,
            message.metadata.dst_node_id,
            message.metadata.message_type,
            ttl=2 * self.plan.deadline + 600.0,
            group_id=message.metadata.group_id,
        )
        entry.ids |= set(self.grid.push_messages([again]))
        strict = self.plan.mode == "strict"
        entry.ask_at = now + (self.plan.deadline if strict else math.inf)

    def _answer(self, index: int, entry: Asked) -> Message | None:
        for reply in self.grid.pull_messages(sorted(entry.ids)) if entry.ids else ():
            entry.ids.discard(reply.metadata.reply_to_message_id)
            if reply.has_error():  # it says no more than that; the site's own log says why
                self.tell(
                    "refused",
                    participant=index,
                    reason=f"the site could not answer (code {reply.error.code})",
                )
            else:
                try:
                    checked = self._checked(index, entry.message, reply)
                except (ContractError, FedgrowError) as error:
                    self.tell("refused", participant=index, reason=str(error))
                else:
                    self.tell("answered", participant=index)
                    return checked
            entry.ask_at = monotonic() + AGAIN_AFTER
        return None

    def _checked(self, index: int, request: Message, reply: Message) -> Message:
        """Return a reply if it is what the contract lists, of this participant and this round."""
        asked, answered = (m.metadata.group_id for m in (request, reply))
        if asked != answered:
            raise FedgrowError(f"an answer of round {answered or 'none'}, expected {asked}")
        reply.content = self.contracts[index].check(request.metadata.message_type, reply)
        self.read(index, request, reply)
        return reply

    def _closed(self, asked: Mapping[int, Asked], answers: Mapping[int, Message], seconds: float) -> bool:
        """Tell whether a phase is closed though some have not answered."""
        if self.plan.mode != "quorum" or seconds < self.plan.deadline:
            return False
        if len(answers) < max(1, math.ceil(self.plan.quorum * len(asked))):
            return False
        for index in sorted(set(asked) - set(answers)):
            self.tell("left out", participant=index, reason=f"no answer within {self.plan.deadline:.0f} s")
        return True

    def _named(self, asked: Mapping[int, Asked], answers: Mapping[int, Message]) -> str:
        return ", ".join(self.names[i] for i in sorted(set(asked) - set(answers)))
