"""Flower's SuperLink with a guard before it: from elsewhere, only what SuperNodes call can be reached.

Flower serves its commands (list runs, register nodes, submit code) without authentication on the port that sites
reach; here they, and the calls by which tasks are taken, answer to this machine only.
"""

import importlib
from typing import Any

FROM_ANYWHERE = ("/v1/fleet/",)
HERE = ("127.0.0.1", "::1")


class Guard:
    """An ASGI application around another that refuses what is not for other machines.

    Args:
        app: the application.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] in ("http", "websocket") and not allowed(scope):
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send(
                {"type": "http.response.body", "body": b"this call is for the coordinator's machine only"}
            )
            return
        await self.app(scope, receive, send)


def allowed(scope: dict[str, Any]) -> bool:
    """Tell whether a request may pass: a site's call, or one from this machine."""
    peer = scope.get("client")
    local = peer is not None and peer[0] in HERE
    return scope["type"] == "http" and (local or scope["path"].startswith(FROM_ANYWHERE))


def main() -> None:
    """Run a SuperLink with the command line's arguments."""
    import uvicorn
    from flwr.superlink.main import create_app

    # the package re-exports a function under the module's name
    superlink = importlib.import_module("flwr.superlink.cli.flower_superlink")
    config = superlink._parse_superlink_lifespan_config()
    uvicorn.run(
        app=Guard(create_app(config, superlink.SuperLinkLifespan)),
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
