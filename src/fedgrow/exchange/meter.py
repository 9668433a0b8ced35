"""Bytes as sent: a Grid around a Grid that weighs every message in its serialised form."""

from collections.abc import Iterable, Iterator

from flwr.app import Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from fedgrow.exchange.wire import to_bytes


class MeteredGrid(Grid):
    """Passes everything on to another Grid and counts bytes down (to participants) and up (from them)."""

    def __init__(self, grid: Grid, *, up: int = 0, down: int = 0) -> None:
        self.grid, self.up, self.down = grid, up, down

    def set_run(self, run: Run) -> None:
        """Pass on."""
        self.grid.set_run(run)

    @property
    def run(self) -> Run:
        """The inner Grid's run."""
        return self.grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Pass on."""
        return self.grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Pass on."""
        return self.grid.get_node_ids()

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Pass on."""
        return self.grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Weigh and pass on."""
        messages = list(messages)
        self.down += sum(len(to_bytes(m)) for m in messages)
        return self.grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Pull and weigh."""
        replies = list(self.grid.pull_messages(message_ids))
        self.up += sum(len(to_bytes(m)) for m in replies)
        return replies

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Weigh on the way out and on the way back."""
        for reply in self.grid.send_and_receive(self._weighed(messages), timeout=timeout):
            self.up += len(to_bytes(reply))
            yield reply

    def _weighed(self, messages: Iterable[Message]) -> Iterator[Message]:
        for message in messages:
            self.down += len(to_bytes(message))
            yield message
