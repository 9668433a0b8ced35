"""What a deployment touches of Flower's private parts; its test fails when they change (pinned: flwr 1.41).

Flower would run, at a site and at the coordinator, the code that is submitted with a run. fedgrow does not: both sides
take their tasks from Flower and carry them out with the fedgrow that is installed there; the bundle submitted with a
run is empty but for its name.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from flwr.app import Context, Message
from flwr.cli.build import build_fab_from_files
from flwr.common.serde import context_from_proto, context_to_proto, fab_to_proto, run_from_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab as ProtoFab
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node, NodeInfo
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    pull_and_inflate_object_from_tree,
)
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufClient, ProtobufRequestContext
from flwr.supercore.retry import RetryInvoker, exponential
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode.runtime.run_clientapp import push_message

from fedgrow.errors import FedgrowError
from fedgrow.exchange.wire import error_reply, set_message_id
from fedgrow.sites.failure import Failure
from fedgrow.sites.guarded_superlink import SECRET
from fedgrow.sites.replies import ReplyGrid

ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
HEARTBEAT_EVERY = 10.0  # seconds
TRIES, WITHIN = 4, 6.0  # how often, and for how many seconds, a call is repeated while nobody answers
WHOLE_WITHIN = (
    3.0  # seconds for a message to be whole at the SuperNode, until it is asked whether it ever will be
)
BUNDLE = """
[project]
name = "fedgrow"
version = "1.0.0"
description = "Carries messages; each side runs the fedgrow that is installed there."
license = "Apache-2.0"

[tool.flwr.app]
publisher = "fedgrow"

[tool.flwr.app.components]
serverapp = "fedgrow.federated.server_app:app"
clientapp = "fedgrow.federated.client_app:app"
"""

C = TypeVar("C", bound=ProtobufClient)


class Unreadable(FedgrowError):
    """What came to a site is no message that can be read."""


@dataclass(frozen=True)
class Endpoint:
    """Where a SuperLink or a SuperNode listens, and how a process of the same machine is known to it.

    Attributes:
        address: host:port.
        authority: the certificate that it is checked by; None for plain HTTP (a SuperNode's, on loopback only).
        secret: what shows that a task may be taken, and to a SuperLink's guard that a call is the coordinator's.
    """

    address: str
    authority: bytes | None
    secret: bytes


class _Secret:
    """Shows the secret with every call."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret.decode()

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Add the header that the guard asks for."""
        context.request.headers[SECRET] = self._secret
        return call_next(context)


def _connected(
    client: type[C], place: Endpoint, component: str, *interceptors: Any, retries: RetryInvoker | None = None
) -> C:
    """Connect to a place; the secret itself is only sent over TLS, which is to the coordinator's own SuperLink."""
    secret = [_Secret(place.secret)] if place.authority is not None else []
    return client.from_server_address(
        server_address=place.address,
        insecure=place.authority is None,
        root_certificates=place.authority,
        interceptors=[RuntimeVersionHttpInterceptor(component_name=component), *secret, *interceptors],
        retry_invoker=retries,
    )


class Control:
    """The coordinator's commands to its SuperLink."""

    def __init__(self, place: Endpoint) -> None:
        self._client = _connected(ControlHttpClient, place, "fedgrow")

    def nodes(self) -> dict[str, NodeInfo]:
        """Return the registered sites by name."""
        found = self._client.ListNodes(ListNodesRequest())
        return {node.name: node for node in found.nodes_info if node.status != "unregistered"}

    def register(self, name: str, public_key: bytes) -> int:
        """Register a site's key and return its node."""
        request = RegisterNodeRequest(public_key=public_key, name=name)
        return int(self._client.RegisterNode(request).node_id)

    def unregister(self, node: int) -> None:
        """Let a site's key in no more."""
        self._client.UnregisterNode(UnregisterNodeRequest(node_id=node))

    def start_run(self) -> int:
        """Start a run and return its number."""
        content, _ = build_fab_from_files({"pyproject.toml": BUNDLE.encode(), "README.md": b"fedgrow\n"})
        fab: ProtoFab = fab_to_proto(Fab(hashlib.sha256(content).hexdigest(), content, {}))
        return int(self._client.StartRun(StartRunRequest(fab=fab)).run_id)

    def stop_run(self, run_id: int) -> None:
        """End a run, if it is still there."""
        with contextlib.suppress(*Failure):
            self._client.StopRun(StopRunRequest(run_id=run_id))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _retries() -> RetryInvoker:
    """Repeat a call while nobody answers; Flower's own would end this process where a run is over or a key is refused."""

    def final(error: Exception) -> bool:
        return isinstance(error, httpx.HTTPStatusError) and error.response.status_code not in (502, 503, 504)

    return RetryInvoker(
        wait_gen_factory=lambda: exponential(max_delay=2),
        recoverable_exceptions=(httpx.TransportError, httpx.HTTPStatusError),
        max_tries=TRIES,
        max_time=WITHIN,
        should_giveup=final,
    )


def _runtime(place: Endpoint, component: str, *interceptors: Any) -> RuntimeHttpClient:
    return _connected(RuntimeHttpClient, place, component, *interceptors, retries=_retries())


class Tasks:
    """Takes tasks from a SuperLink or a SuperNode."""

    def __init__(self, place: Endpoint, *, server: bool) -> None:
        self.kind = TaskType.SERVER_APP if server else TaskType.CLIENT_APP
        secret = SuperExecAuthHttpInterceptor(master_secret=place.secret, protected_methods=[ACQUIRE])
        self._client = _runtime(place, "SuperExec", secret)

    def next(self) -> str | None:
        """Return the token of a waiting task, if there is one."""
        found = self._client.AcquireTask(AcquireTaskRequest(supported_task_types=[self.kind]))
        return found.token if found.HasField("task") and found.token else None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@contextlib.contextmanager
def heartbeats(client: RuntimeHttpClient) -> Iterator[None]:
    """Say that a task is being worked on, as long as it is."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.is_set():
            with contextlib.suppress(*Failure):
                client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
            ended.wait(HEARTBEAT_EVERY)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1.0)


@contextlib.contextmanager
def serving(place: Endpoint, token: str) -> Iterator[ReplyGrid]:
    """Become the ServerApp of the run that a token is for, and end the run with it."""
    grid = ReplyGrid(place.address, place.authority is None, place.authority, token=token)
    grid._client = client = _runtime(place, "flwr-serverapp", RuntimeTokenHttpInterceptor(token))
    status = "failed"
    try:
        with heartbeats(client):
            given = client.PullTaskInput(PullTaskInputRequest())
            TaskIdentity.task_id, TaskIdentity.run_id = given.task_id, given.run.run_id
            TaskIdentity.node_id = given.context.node_id
            grid.set_run(run_from_proto(given.run))
            context = context_from_proto(given.context)
            yield grid
            status = "completed"
    finally:
        with contextlib.suppress(*Failure, NameError, UnboundLocalError):
            client.PushTaskOutput(
                PushTaskOutputRequest(context=context_to_proto(context), sub_status=status, details="")
            )
        grid.close()


class ClientTask:
    """One message to a site, and the way back for its reply; the code that came with the run is not looked at."""

    def __init__(self, place: Endpoint, token: str) -> None:
        self._client = _runtime(place, "flwr-clientapp", RuntimeTokenHttpInterceptor(token))
        self._context: Context | None = None

    @contextlib.contextmanager
    def message(self, given_up: Callable[[], bool]) -> Iterator[Message | None]:
        """Give the message, and say that it is being worked on; afterwards the task is over.

        Args:
            given_up: asked while the message is not whole. A SuperNode carries one message at a time, and leaves the task
                of one that it gave up behind: None is given where that is known.

        Raises:
            Unreadable: it is whole, and is no message.
        """
        done = False
        try:
            with heartbeats(self._client):
                yield self._pull(given_up)
                done = True
        finally:
            with contextlib.suppress(*Failure):
                self._client.PushTaskOutput(
                    PushTaskOutputRequest(
                        context=context_to_proto(self._context) if self._context else None,
                        sub_status="completed" if done else "failed",
                        details="",
                    )
                )
            self._client.close()

    def _pull(self, given_up: Callable[[], bool]) -> Message | None:
        given = self._client.PullTaskInput(PullTaskInputRequest())
        TaskIdentity.task_id, TaskIdentity.run_id = given.task_id, given.run.run_id
        TaskIdentity.node_id = given.context.node_id
        self._context = context = context_from_proto(given.context)
        found = self._client.PullMessages(PullAppMessagesRequest())
        if not found.messages_list:
            return None
        try:
            return self._whole(found.message_object_trees[0], context, given_up)
        except Failure:
            raise
        except Exception as error:  # the coordinator may have sent anything
            raise Unreadable(f"what the coordinator sent is no message ({type(error).__name__})") from error

    def _whole(self, tree: ObjectTree, context: Context, given_up: Callable[[], bool]) -> Message | None:
        """Put a message together from its parts, as they come."""
        node, run_id = Node(node_id=context.node_id), context.run_id
        pull = make_pull_object_fn_protobuf(self._client.PullObject, node, run_id)
        confirm = make_confirm_message_received_fn_protobuf(self._client.ConfirmMessageReceived, node, run_id)
        while True:
            try:
                message = pull_and_inflate_object_from_tree(
                    tree, pull, confirm, return_type=Message, max_time=WHOLE_WITHIN
                )
            except ObjectPullError:
                if given_up():
                    return None
            else:
                set_message_id(message, tree.object_id)
                return message

    def reply(self, message: Message) -> None:
        """Hand a reply to the SuperNode."""
        assert self._context is not None
        push_message(self._client, message, self._context)


def failed(reason: str, to: Message) -> Message:
    """Make the reply that says no more than this."""
    return error_reply(RuntimeError(reason), to)


def superlink_arguments(folder: Path, host: str, port: int, certificates: Path, secret: Path) -> list[str]:
    """Return the SuperLink's command line: TLS, keys of sites asked for, nothing of a run carried out by itself."""
    return [
        "--host", host,
        "--port", str(port),
        "--ssl-certfile", str(certificates / "server.crt"),
        "--ssl-keyfile", str(certificates / "server.key"),
        "--ssl-ca-certfile", str(certificates / "ca.crt"),
        "--enable-supernode-auth",
        "--isolation", "process",
        "--disable-runtime-dependency-installation",
        "--superexec-auth-secret-file", str(secret),
        "--database", str(folder / "superlink.db"),
    ]  # fmt: skip


def supernode_arguments(superlink: str, certificate: Path, key: Path, port: int, secret: Path) -> list[str]:
    """Return the SuperNode's command line: its tasks wait on loopback for this site's own process."""
    return [
        "--superlink", superlink,
        "--root-certificates", str(certificate),
        "--auth-supernode-private-key", str(key),
        "--isolation", "process",
        "--host", "127.0.0.1",
        "--port", str(port),
        "--superexec-auth-secret-file", str(secret),
    ]  # fmt: skip
