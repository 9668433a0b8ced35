"""The local engine: an in-process Grid. No network, no Ray, deterministic; every message goes through its wire form."""

from collections.abc import Callable, Iterable
from typing import Literal

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.run import Run

from fedgrow.exchange.wire import become_server, error_reply, from_bytes, set_message_id, to_bytes
from fedgrow.federated.memory import keep_freed_memory

Tap = Callable[[Literal["up", "down"], bytes], None]
RUN_ID = 1
FIRST_NODE = 1000


class LocalGrid(Grid):
    """Calls the ClientApp for one message after another.

    Args:
        client_app: the participants' app.
        participants: how many nodes there are; node ``FIRST_NODE + i`` is participant ``i``.
        run_config: Flower's run configuration.
        tap: sees the bytes of every message, both ways.
    """

    def __init__(
        self,
        client_app: ClientApp,
        participants: int,
        run_config: dict[str, str | int],
        tap: Tap | None = None,
    ) -> None:
        self.client_app, self.tap = client_app, tap
        self._run = become_server(RUN_ID)
        self.contexts = {
            FIRST_NODE + i: Context(
                RUN_ID,
                FIRST_NODE + i,
                {"partition-id": i, "num-partitions": participants},
                RecordDict(),
                dict(run_config),
            )
            for i in range(participants)
        }
        self._waiting: dict[str, bytes] = {}
        self._count = 0

    def set_run(self, run: Run) -> None:
        """Keep a run's description."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run's description."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message to a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return all nodes, in the plan's order."""
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Serialise messages and queue them."""
        ids = []
        for message in messages:
            self._count += 1
            message_id = f"{self._count:064d}"
            set_message_id(message, message_id)
            self._waiting[message_id] = self._wire("down", message)
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Carry out queued messages and return their replies."""
        return [self._deliver(i) for i in list(message_ids) if i in self._waiting]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send, carry out, and give the replies one by one, in the order of the messages."""
        for message in messages:
            yield from self.pull_messages(self.push_messages([message]))

    def _wire(self, way: Literal["up", "down"], message: Message) -> bytes:
        data = to_bytes(message)
        if self.tap:
            self.tap(way, data)
        return data

    def _deliver(self, message_id: str) -> Message:
        message = from_bytes(self._waiting.pop(message_id))
        try:
            reply = self.client_app(message, self.contexts[message.metadata.dst_node_id])
        except Exception as error:
            reply = error_reply(error, message)
        return from_bytes(self._wire("up", reply))


def run_local(
    server_app: ServerApp,
    client_app: ClientApp,
    participants: int,
    run_config: dict[str, str | int],
    tap: Tap | None = None,
) -> None:
    """Run both apps over a LocalGrid, to the end."""
    keep_freed_memory()
    grid = LocalGrid(client_app, participants, run_config, tap)
    server_app(grid, Context(RUN_ID, 1, {}, RecordDict(), dict(run_config)))
