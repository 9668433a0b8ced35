"""What the coordinator makes of replies that are none, or never come whole: each is one site's, and holds up no other."""

import pytest
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_to_proto
from flwr.proto import message_pb2, runtime_pb2
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

from fedgrow.exchange.wire import LOST, UNREADABLE, become_server, set_message_id
from fedgrow.sites import replies
from fedgrow.sites.replies import ReplyGrid

RUN = 7


class SuperLink:
    """Has replies, each by the message that it answers, and gives their parts.

    Args:
        garbled: a type of part whose bytes are none.
        missing: whether parts are not there yet; gone: whether they never will be.
    """

    def __init__(self, *asked, garbled=None, missing=False, gone=False):
        self.missing, self.gone, self.pulled, self.replies, self.parts = missing, gone, [], {}, {}
        for name in asked:
            question = Message(RecordDict(), 1001, "train.grow", group_id="3")
            set_message_id(question, name)
            content = RecordDict({"metrics": MetricRecord({"loss": 0.5}), "arrays": ArrayRecord()})
            reply = Message(content, reply_to=question)
            set_message_id(reply, reply.object_id)
            for part, found in get_all_nested_objects(reply).items():
                head, _, body = found.deflate().partition(b"\0")
                broken = type(found).__name__ == garbled
                self.parts[part] = head + b"\0" + (b"\xff" * len(body) if broken else body)
            self.replies[name] = (message_to_proto(reply), get_object_tree(reply))

    def PullMessages(self, request):
        [name] = request.message_ids
        self.pulled.append(name)
        found = [self.replies.pop(name)] if name in self.replies else []
        return runtime_pb2.PullAppMessagesResponse(
            messages_list=[head for head, _ in found], message_object_trees=[tree for _, tree in found]
        )

    def PullObject(self, request):
        return message_pb2.PullObjectResponse(
            object_found=not self.gone,
            object_available=not self.missing,
            object_content=self.parts[request.object_id],
        )

    def ConfirmMessageReceived(self, _):
        pass

    def close(self):
        pass


@pytest.fixture
def grid(monkeypatch):
    monkeypatch.setattr(replies, "WHOLE_WITHIN", 0.0)
    run = become_server(RUN)

    def of(superlink):
        one = ReplyGrid("127.0.0.1:9", True, None, token="0")
        one._client = superlink
        one.set_run(run)
        return one

    return of


def test_a_whole_reply_is_given_with_the_message_that_it_answers(grid):
    one = grid(SuperLink("a" * 64))
    [reply] = one.pull_messages(["a" * 64, "b" * 64])
    assert reply.metadata.reply_to_message_id == "a" * 64
    assert reply.content["metrics"] == MetricRecord({"loss": 0.5})
    assert list(one.pull_messages(["a" * 64])) == []


@pytest.mark.parametrize("part", ["Message", "RecordDict", "MetricRecord"])
def test_a_reply_that_is_no_message_is_an_error(grid, part):
    [reply] = grid(SuperLink("b" * 64, garbled=part)).pull_messages(["b" * 64])
    assert (reply.error.code, reply.metadata.reply_to_message_id) == (UNREADABLE, "b" * 64)
    assert UNREADABLE not in LOST


def test_a_reply_that_comes_slowly_is_taken_later_and_asked_for_once(grid):
    superlink = SuperLink("a" * 64, missing=True)
    one = grid(superlink)
    assert list(one.pull_messages(["a" * 64])) == []
    superlink.missing = False
    [reply] = one.pull_messages(["a" * 64])
    assert not reply.has_error()
    assert superlink.pulled == ["a" * 64]


def test_a_reply_whose_parts_are_lost_is_told_as_lost(grid):
    [reply] = grid(SuperLink("a" * 64, gone=True)).pull_messages(["a" * 64])
    assert (reply.error.code, reply.metadata.reply_to_message_id) == (
        ErrorCode.MESSAGE_UNAVAILABLE,
        "a" * 64,
    )
