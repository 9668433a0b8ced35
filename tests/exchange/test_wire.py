"""Flower's private parts that fedgrow touches; this goes red when they change under us."""

from importlib.metadata import version

from flwr.app import Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from fedgrow.exchange.wire import LOST, become_server, error_reply, from_bytes, set_message_id, to_bytes


def message() -> Message:
    become_server(7)
    return Message(RecordDict(), 1001, "train.grow", group_id="3")


def test_the_pin_is_the_one_that_was_measured():
    assert version("flwr").startswith("1.41.")


def test_a_message_survives_the_wire():
    sent = message()
    set_message_id(sent, "id-1")
    received = from_bytes(to_bytes(sent))
    assert received.metadata.message_id == "id-1"
    assert (received.metadata.message_type, received.metadata.dst_node_id) == ("train.grow", 1001)
    assert received.metadata.group_id == "3"


def test_the_server_has_an_identity():
    become_server(7)
    assert (TaskIdentity.run_id, TaskIdentity.node_id) == (7, 1)
    assert message().metadata.run_id == 7


def test_an_error_reply_carries_its_text():
    reply = error_reply(ValueError("why"), message())
    assert reply.has_error()
    assert "why" in reply.error.reason


def test_the_codes_of_what_was_lost():
    assert LOST == (3, 4, 5)
