"""The guard before the SuperLink: commands and tasks answer to the coordinator only, and calls of others have an end."""

import asyncio

import pytest

from fedgrow.sites import guarded_superlink
from fedgrow.sites.guarded_superlink import MOST, SECRET, Guard

OWN = b"0123"


class Inner:
    """The application behind the guard: it reads the whole body, as Flower does."""

    body = None

    async def __call__(self, scope, receive, send):
        self.body, more = b"", True
        while more:
            event = await receive()
            self.body, more = self.body + event["body"], event.get("more_body", False)
        self.after = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})


class Caller:
    """Sends a body in parts, and then leaves."""

    def __init__(self, *parts):
        self.parts, self.given = list(parts), 0

    async def __call__(self):
        if self.given == len(self.parts):
            return {"type": "http.disconnect"}
        self.given += 1
        more = self.given < len(self.parts)
        return {"type": "http.request", "body": self.parts[self.given - 1], "more_body": more}


def status(path: str, peer: tuple[str, int] | None, kind: str = "http", secret=None, caller=None, inner=None):
    sent = []

    async def send(event):
        sent.append(event)

    headers = [(SECRET.encode(), secret)] if secret is not None else []
    scope = {"type": kind, "path": path, "client": peer, "headers": headers}
    asyncio.run(Guard(inner or Inner(), OWN)(scope, caller or Caller(b""), send))
    return sent[0]["status"]


@pytest.mark.parametrize("peer", [("127.0.0.1", 5), ("::1", 5)])
def test_the_coordinator_reaches_everything(peer):
    assert status("/v1/control/start-run", peer, secret=OWN) == 200


@pytest.mark.parametrize("path", ["/v1/control/start-run", "/v1/runtime/acquire-task", "/docs"])
@pytest.mark.parametrize("secret", [None, b"", b"0124", b"01234"])
def test_other_users_of_this_machine_do_not(path, secret):
    assert status(path, ("127.0.0.1", 5), secret=secret) == 403
    assert status("/v1/fleet/pull-messages", ("127.0.0.1", 5), secret=secret) == 200


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
@pytest.mark.parametrize("secret", [None, OWN])
def test_others_reach_only_what_sites_call(path, peer, secret):
    assert status(path, peer, secret=secret) == 403
    assert status("/v1/fleet/pull-messages", peer, secret=secret) == 200


def test_a_call_comes_through_as_it_is():
    inner = Inner()
    assert status("/v1/fleet/x", None, caller=Caller(b"one ", b"", b"two"), inner=inner) == 200
    assert (inner.body, inner.after["type"]) == (b"one two", "http.disconnect")


def test_no_more_is_read_of_a_call_than_a_site_sends():
    inner, caller = Inner(), Caller(*[bytes(MOST // 4)] * 100)
    assert status("/v1/fleet/push-object", ("10.0.0.7", 5), caller=caller, inner=inner) == 413
    assert (caller.given, inner.body) == (5, None)
    assert status("/v1/fleet/push-object", None, caller=Caller(bytes(MOST))) == 200
    assert status("/v1/runtime/push-object", ("::1", 5), secret=OWN, caller=Caller(bytes(MOST + 1))) == 200


def test_a_call_that_ends_on_the_way_is_not_passed_on():
    inner, caller = Inner(), Caller(b"one", b"two")
    caller.parts.append(None)  # more would come

    async def receive():
        return await caller() if caller.given < 2 else {"type": "http.disconnect"}

    assert status("/v1/fleet/x", None, caller=receive, inner=inner) == 413
    assert inner.body is None


@pytest.mark.parametrize("path", ["/v1/fleet/x", "/v1/control/stream-logs"])
def test_no_other_kind_of_connection_is_let_in(path):
    assert status(path, ("127.0.0.1", 5), "websocket", secret=OWN) == 403


def test_what_is_no_request_passes():
    asyncio.run(Guard(lambda *_: asyncio.sleep(0), OWN)({"type": "lifespan"}, None, None))


def test_a_call_that_does_not_come_whole_in_time_is_refused(monkeypatch):
    monkeypatch.setattr(guarded_superlink, "WITHIN", 0.01)

    async def receive():
        await asyncio.sleep(5)

    assert status("/v1/fleet/x", None, caller=receive) == 408


def test_many_calls_at_once_are_refused_and_let_go_of(monkeypatch):
    """The second of two that come in parts is refused; after them, nothing is held."""
    monkeypatch.setattr(guarded_superlink, "HELD", 1000)
    guard, sent = Guard(Inner(), OWN), []
    gate = asyncio.Event()

    def caller(last):
        parts = [{"body": bytes(600), "more_body": True}, last]

        async def receive():
            if len(parts) == 1:
                await gate.wait()
            return {"type": "http.request"} | parts.pop(0) if parts else {"type": "http.disconnect"}

        return receive

    async def send(event):
        sent.append(event.get("status"))

    async def both():
        scope = {"type": "http", "path": "/v1/fleet/x", "client": None, "headers": []}
        first = asyncio.create_task(guard(scope, caller({"body": b"end", "more_body": False}), send))
        await asyncio.sleep(0)
        await guard(scope, caller({"body": b"end", "more_body": False}), send)
        gate.set()
        await first

    asyncio.run(asyncio.wait_for(both(), 10))
    assert [code for code in sent if code] == [503, 200]
    assert guard.held == 0
