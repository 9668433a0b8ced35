"""What both sides touch of Flower's private parts; its test fails when they change (pinned: flwr 1.41)."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

CLIENT_APP_RAISED = 2  # flwr's error code for an exception in a ClientApp
LOST = (  # flwr's error codes for what was lost between the server and a site
    ErrorCode.MESSAGE_UNAVAILABLE,
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE,
    ErrorCode.NODE_UNAVAILABLE,
)
UNREADABLE = ErrorCode.UNKNOWN  # what a site answered is no message
SERVER_NODE = 1

logging.getLogger("flwr").setLevel(logging.WARNING)


def to_bytes(message: Message) -> bytes:
    """Serialise a message as it goes over the wire."""
    return message_to_proto(message).SerializeToString(deterministic=True)


def from_bytes(data: bytes) -> Message:
    """Read a message from the wire."""
    return message_from_proto(ProtoMessage.FromString(data))


def set_message_id(message: Message, message_id: str) -> None:
    """Give a message its id, as Flower's own grids do when they push it."""
    message.metadata.__dict__["_message_id"] = message_id


def become_server(run_id: int) -> Run:
    """Let this process make messages as the server of a run."""
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = run_id, 1, SERVER_NODE
    return Run.create_empty(run_id=run_id)


@contextmanager
def as_server() -> Iterator[None]:
    """Be the server of no run for a while, and then again whoever this process was."""
    names = ("_task_id", "_run_id", "_node_id")
    before = {name: getattr(TaskIdentity, name) for name in names}
    become_server(0)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(TaskIdentity, name, value)


def error_reply(error: Exception, reply_to: Message) -> Message:
    """Make the reply that Flower makes of an exception in a ClientApp: its text travels."""
    return Message(Error(CLIENT_APP_RAISED, f"{type(error)}:<'{error}'>"), reply_to=reply_to)
