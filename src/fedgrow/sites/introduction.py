"""Who comes late is shown the plan first: a site that has not said in this run that it took it up is asked nothing else."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedgrow.config.plan import Plan
from fedgrow.errors import ContractError
from fedgrow.exchange.contract import PLAN, Contract
from fedgrow.federated.collect import AGAIN_AFTER


@dataclass
class Shown:
    """Where a site is with the plan: the message that showed it last, and when it is shown again."""

    id: str = ""
    again_at: float = -math.inf


class Introduction:
    """Shows the plan to sites as they come.

    Args:
        grid: what carries the messages.
        plan: the plan.
        content: the message's content, with the plan in it.
        nodes: the participants' nodes, in the plan's order.
        tell: told of what happens (``answered``, ``refused``).
    """

    def __init__(
        self, grid: Grid, plan: Plan, content: RecordDict, nodes: Iterable[int], tell: Callable[..., None]
    ) -> None:
        self.grid, self.plan, self.content, self.tell = grid, plan, content, tell
        self.index_of = {node: index for index, node in enumerate(nodes)}
        self.known: set[int] = set()
        self._asked = {node: Shown() for node in self.index_of}

    def messages(self, nodes: Iterable[int]) -> list[Message]:
        """Return the messages that show the plan to these nodes."""
        lasts = 2 * self.plan.faults.deadline + 600.0
        content = dict(self.content.items())
        return [Message(RecordDict(content), node, PLAN, ttl=lasts, group_id="0") for node in nodes]

    def among(self, there: Iterable[int]) -> set[int]:
        """Return which of the nodes that are there have taken the plan up; show it to the others."""
        there = self.index_of.keys() & set(there)
        for node in sorted(there - self.known):
            asked = self._asked[node]
            for reply in self.grid.pull_messages([asked.id]) if asked.id else ():
                asked.id, asked.again_at = "", monotonic() + AGAIN_AFTER
                if self._took_up(node, reply):
                    self.known.add(node)
            if node not in self.known and monotonic() >= asked.again_at:
                [asked.id] = self.grid.push_messages(self.messages([node]))
                asked.again_at = monotonic() + self.plan.faults.deadline
        return there & self.known

    def _took_up(self, node: int, reply: Message) -> bool:
        """Tell whether a reply says so, and nothing that the contract does not list."""
        index, refused = self.index_of[node], None
        if reply.has_error():
            refused = f"the site could not answer (code {reply.error.code})"
        else:
            try:
                Contract({}, (), index).check(PLAN, reply)
            except ContractError as error:
                refused = str(error)
        if refused is not None:
            self.tell("refused", participant=index, reason=refused)
            return False
        self.tell("answered", participant=index)
        return True
