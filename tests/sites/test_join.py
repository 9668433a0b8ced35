"""A site's process and the SuperNode beside it: messages that are none, or never come whole."""

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.common.serde import context_to_proto, message_to_proto
from flwr.proto import message_pb2, runtime_pb2
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

from fedgrow.config.site import load_site
from fedgrow.exchange.contract import ARRAYS, CONFIG, PREPARE
from fedgrow.exchange.wire import become_server, set_message_id
from fedgrow.sites import flower, join
from fedgrow.sites.flower import Endpoint
from tests.sites.making import write_all

NODE, RUN = 1001, 7


class Garbled(ConfigRecord):
    """A record whose bytes are none."""

    def deflate(self):
        head, _, body = super().deflate().partition(b"\0")
        return b"ConfigRecord " + head.split(b" ", 1)[1] + b"\0" + b"\xff" * len(body)


class SuperNode:
    """Has one message for a site, and takes its reply.

    Args:
        config: what the message brings.
        missing: whether its parts never come.
        stored: whether parts of the reply are taken.
    """

    def __init__(self, config, *, missing=False, stored=True):
        self.missing, self.stored, self.ended, self.replies = missing, stored, "", 0
        become_server(RUN)
        message = Message(RecordDict({ARRAYS: ArrayRecord(), CONFIG: config}), NODE, PREPARE, group_id="0")
        set_message_id(message, message.object_id)
        self.tree = get_object_tree(message)
        self.parts = {name: part.deflate() for name, part in get_all_nested_objects(message).items()}
        self.head = message_to_proto(message)

    def PullTaskInput(self, _):
        context = context_to_proto(Context(RUN, NODE, {}, RecordDict(), {}))
        return runtime_pb2.PullTaskInputResponse(context=context, task_id=1)

    def PullMessages(self, _):
        return runtime_pb2.PullAppMessagesResponse(
            messages_list=[self.head], message_object_trees=[self.tree]
        )

    def PullObject(self, request):
        content = self.parts[request.object_id]
        return message_pb2.PullObjectResponse(
            object_found=True, object_available=not self.missing, object_content=content
        )

    def PushMessages(self, request):
        self.replies += 1
        trees = request.message_object_trees
        return runtime_pb2.PushAppMessagesResponse(objects_to_push=[tree.object_id for tree in trees])

    def PushObject(self, _):
        return message_pb2.PushObjectResponse(stored=self.stored)

    def PushTaskOutput(self, request):
        self.ended = request.sub_status

    def ConfirmMessageReceived(self, _):
        pass

    def SendTaskHeartbeat(self, _):
        pass

    def close(self):
        pass


class NoTasks:
    """No further task waits."""

    def next(self):
        return None


@pytest.fixture
def carried(tmp_path, monkeypatch):
    """Carry the message of a SuperNode; return what the site told."""
    monkeypatch.setattr(flower, "WHOLE_WITHIN", 0.0)
    monkeypatch.setattr(join, "PARTS_WITHIN", 0.1)
    write_all(tmp_path, "127.0.0.1:9", tmp_path / "ca.crt")
    (tmp_path / "ca.crt").write_text("x")
    told: list[str] = []
    one = join.Join(load_site(tmp_path / "ada.yaml"), lambda plan, digest: True, told.append, 60.0)

    def carry(supernode):
        monkeypatch.setattr(flower, "_runtime", lambda *_: supernode)
        one._carry(Endpoint("127.0.0.1:9", None, b"0"), NoTasks(), "token")
        return told

    yield carry
    one.lock.release()


def test_a_message_is_answered(carried):
    one = SuperNode(ConfigRecord({"server-round": 0}))
    assert carried(one)[0] == "asked: train.prepare, round 0"
    assert (one.replies, one.ended) == (1, "completed")


def test_what_is_no_message_is_left_and_noted(carried, tmp_path):
    one = SuperNode(Garbled({"server-round": 0}))
    assert carried(one) == ["not answered: what the coordinator sent is no message (DecodeError)"]
    assert (one.replies, one.ended) == (0, "failed")
    assert "is no message (DecodeError)" in (tmp_path / "site-ada" / "site.log").read_text()


def test_a_message_that_never_comes_whole_is_given_up(carried):
    one = SuperNode(ConfigRecord({"server-round": 0}), missing=True)
    assert carried(one) == ["not answered: a message that did not come whole"]
    assert (one.replies, one.ended) == (0, "completed")


def test_a_reply_that_is_not_taken_does_not_end_the_site(carried):
    one = SuperNode(ConfigRecord({"server-round": 0}), stored=False)
    assert carried(one)[0].startswith("asked")
    assert (one.replies, one.ended) == (1, "failed")
