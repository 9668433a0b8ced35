"""The server's Grid over HTTP: replies are taken as they come whole; one that does not, or is none, holds up no other.

Flower's own waits for up to two hours for the parts of a reply, and raises where those are no message.
"""

from collections.abc import Iterable
from typing import Any

from flwr.app import Error, Message, Metadata
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.constant import SYSTEM_MESSAGE_TYPE
from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, pull_and_inflate_object_from_tree
from flwr.superlink.grid.http_grid import HttpGrid

from fedgrow.exchange.wire import UNREADABLE, set_message_id
from fedgrow.sites.failure import Failure

WHOLE_WITHIN = 3.0  # seconds for a reply to come whole, until the others are looked at again


class ReplyGrid(HttpGrid):
    """Flower's Grid, but for how replies are pulled."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._coming: dict[str, ObjectTree] = {}

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to these messages that are whole by now.

        In place of one whose parts are lost, or are no message, there is an error.
        """
        found = [self._reply(asked) for asked in message_ids]
        return [reply for reply in found if reply is not None]

    def _reply(self, asked: str) -> Message | None:
        tree = self._coming.pop(asked, None)
        if tree is None:
            given = self._runtime_client.PullMessages(PullAppMessagesRequest(message_ids=[asked]))
            if not given.message_object_trees:
                return None
            tree = given.message_object_trees[0]
        client, run_id, lost = self._runtime_client, self.run.run_id, False
        pull = make_pull_object_fn_protobuf(client.PullObject, self.node, run_id)
        confirm = make_confirm_message_received_fn_protobuf(client.ConfirmMessageReceived, self.node, run_id)

        def part(name: str) -> bytes:
            nonlocal lost
            try:
                return pull(name)
            except ObjectPullError:
                lost = True
                raise

        try:
            reply = pull_and_inflate_object_from_tree(
                tree, part, confirm, return_type=Message, max_time=WHOLE_WITHIN
            )
            set_message_id(reply, tree.object_id)
            reply.metadata.__dict__["_reply_to_message_id"] = asked
        except ObjectPullError:
            if lost:
                return self._instead(asked, ErrorCode.MESSAGE_UNAVAILABLE)
            self._coming[asked] = tree
            return None
        except Failure:
            raise
        except Exception:  # a site may have sent anything
            return self._instead(asked, UNREADABLE)
        return reply

    def _instead(self, asked: str, code: int) -> Message:
        """Make the error that stands for a reply."""
        me = self.node.node_id
        metadata = Metadata(
            run_id=self.run.run_id,
            message_id="",
            src_node_id=me,
            dst_node_id=me,
            reply_to_message_id=asked,
            group_id="",
            created_at=now().timestamp(),
            ttl=0,
            message_type=SYSTEM_MESSAGE_TYPE,
        )
        return make_message(metadata, error=Error(code, ""))
