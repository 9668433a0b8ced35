"""The Grid of a run between sites: its nodes are all participants, away or not, and who comes late sees the plan first."""

from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Message
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid

from fedgrow.exchange.passing import PassingGrid
from fedgrow.sites.failure import Failure
from fedgrow.sites.introduction import Introduction


class LinkLost(Exception):
    """The SuperLink, or the run, is gone; the federation can go on with another."""


class SiteGrid(PassingGrid):
    """A run's Grid whose nodes are all the plan's participants, in its order, whether they are there just now or not."""

    def __init__(self, grid: Grid, nodes: list[int]) -> None:
        super().__init__(grid)
        self.nodes = nodes
        self.introduction: Introduction | None = None

    def get_node_ids(self) -> Iterable[int]:
        """Return all participants' nodes."""
        return list(self.nodes)

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return the nodes that are there; once the plan was shown to all, those of them that took it up."""
        there = list(self._link(self.grid.get_nodes))
        if self.introduction is None:
            return there
        known = self.introduction.among(int(node.node_id) for node in there)
        return [node for node in there if int(node.node_id) in known]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Pass on."""
        ids = list(self._link(lambda: self.grid.push_messages(list(messages))))
        if None in ids or not ids:
            raise LinkLost("the SuperLink did not take a message")
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pass on."""
        return list(self._link(lambda: self.grid.pull_messages(list(message_ids))))

    def _link(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Failure as error:
            raise LinkLost(f"the SuperLink does not answer ({type(error).__name__})") from None
