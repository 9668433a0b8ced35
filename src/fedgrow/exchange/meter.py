"""Bytes as sent: a Grid around a Grid that weighs every message in its serialised form."""

from collections.abc import Iterable, Iterator

from flwr.app import Message
from flwr.serverapp import Grid

from fedgrow.exchange.passing import PassingGrid
from fedgrow.exchange.wire import to_bytes


class MeteredGrid(PassingGrid):
    """Passes everything on to another Grid and counts bytes down (to participants) and up (from them)."""

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self.up, self.down = 0, 0

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
