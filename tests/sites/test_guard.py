"""The guard before the SuperLink: commands and tasks answer to this machine only."""

import asyncio

import pytest

from fedgrow.sites.guarded_superlink import Guard


async def inner(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


def status(path: str, peer: tuple[str, int] | None, kind: str = "http") -> int:
    sent = []

    async def send(event):
        sent.append(event)

    asyncio.run(Guard(inner)({"type": kind, "path": path, "client": peer}, None, send))
    return sent[0]["status"]


@pytest.mark.parametrize("peer", [("127.0.0.1", 5), ("::1", 5)])
def test_this_machine_reaches_everything(peer):
    assert status("/v1/control/start-run", peer) == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/control/start-run",
        "/v1/runtime/acquire-task",
        "/docs",
        "/",
        "/v1/fleet",
        "//v1/fleet/",
        "/v1/Fleet/x",
    ],
)
@pytest.mark.parametrize("peer", [("10.0.0.7", 5), ("127.0.0.2", 5), None])
def test_others_reach_only_what_sites_call(path, peer):
    assert status(path, peer) == 403
    assert status("/v1/fleet/pull-messages", peer) == 200


def test_no_other_kind_of_connection_is_let_in():
    assert status("/v1/fleet/x", ("127.0.0.1", 5), "websocket") == 403


def test_what_is_no_request_passes():
    asyncio.run(Guard(lambda *_: asyncio.sleep(0))({"type": "lifespan"}, None, None))
