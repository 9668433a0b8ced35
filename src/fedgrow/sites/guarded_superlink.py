"""Flower's SuperLink with a guard before it: who is not the coordinator reaches only what SuperNodes call.

Flower serves its commands (list runs, register nodes, submit code) without authentication on the port that sites
reach; here they, and the calls by which tasks are taken, answer to this machine only, and to the secret that is in the
coordinator's folder. Flower reads a call whole before it looks whose it is; the guard reads no more than a site sends.
"""

import asyncio
import hmac
import importlib
from typing import Any

FROM_ANYWHERE = ("/v1/fleet/",)
HERE = ("127.0.0.1", "::1")
SECRET = "fedgrow-secret"  # the header of a coordinator's call
WITHIN = 300.0  # seconds for such a call to be there whole: 5 MB over half a megabit a second take 80
HELD = 1024**3  # bytes of such calls that are held at a time
MOST = 16 * 1024 * 1024  # bytes of a call without the secret; Flower sends arrays in pieces of 5 MB


class Guard:
    """An ASGI application around another that refuses what is not for other machines and users, and what is too long.

    Args:
        app: the application.
        secret: what the coordinator's own calls show.
    """

    def __init__(self, app: Any, secret: bytes) -> None:
        self.app, self.secret = app, secret
        self.held = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan" or self._own(scope):
            await self.app(scope, receive, send)
        elif scope["type"] != "http" or not scope["path"].startswith(FROM_ANYWHERE):
            await _refuse(send, 403, b"this call is for the coordinator only")
        else:
            await self._pass_on(scope, receive, send)

    async def _pass_on(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Read a call from elsewhere whole, and pass it on."""
        body = bytearray()
        try:
            if (refused := await self._read(body, receive)) is not None:
                await _refuse(send, *refused)
            else:
                await self.app(scope, _again(bytes(body), receive), send)
        finally:
            self.held -= len(body)

    async def _read(self, body: bytearray, receive: Any) -> tuple[int, bytes] | None:
        """Read a call's body to its end; return status and reason where it is refused."""
        more = True
        try:
            async with asyncio.timeout(WITHIN):
                while more:
                    event = await receive()
                    part = event.get("body", b"")
                    body += part
                    self.held += len(part)
                    more = event.get("more_body", False)
                    if len(body) > MOST or event["type"] == "http.disconnect":
                        return 413, b"this call is longer than any that a site makes"
                    if self.held > HELD:
                        return 503, b"too many calls at once"
        except TimeoutError:
            return 408, b"this call did not come whole in time"
        return None

    def _own(self, scope: dict[str, Any]) -> bool:
        """Tell whether a request is the coordinator's: from this machine, and with the secret."""
        peer = scope.get("client")
        shown = dict(scope["headers"]).get(SECRET.encode(), b"")
        local = peer is not None and peer[0] in HERE
        return scope["type"] == "http" and local and hmac.compare_digest(shown, self.secret)


def _again(body: bytes, receive: Any) -> Any:
    """Return what gives a body that was read already, and then what comes after it."""
    events = [{"type": "http.request", "body": body}]

    async def given() -> Any:
        return events.pop() if events else await receive()

    return given


async def _refuse(send: Any, status: int, why: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": why})


def main() -> None:
    """Run a SuperLink with the command line's arguments."""
    import uvicorn
    from flwr.superlink.main import create_app

    # the package re-exports a function under the module's name
    superlink = importlib.import_module("flwr.superlink.cli.flower_superlink")
    config = superlink._parse_superlink_lifespan_config()
    uvicorn.run(
        app=Guard(create_app(config, superlink.SuperLinkLifespan), config.superexec_auth_secret),
        host=config.host,
        port=config.port,
        access_log=False,
        proxy_headers=False,  # a header must not say where a call comes from
        log_level="warning",
        ssl_keyfile=config.ssl_keyfile,
        ssl_certfile=config.ssl_certfile,
        workers=1,
    )


if __name__ == "__main__":
    main()
