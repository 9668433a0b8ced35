"""The Ray engine: the same apps over Flower's simulation engine, in a child process that leaves nothing behind.

``flwr.simulation.run_simulation`` runs in a child that leads a process group of its own: no daemon, no SuperLink,
and whatever happens the caller ends that group by its id. Needs ``fedgrow[ray]`` and Linux.
"""

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedgrow.disk.events import replay
from fedgrow.errors import FedgrowError

ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_OFFLINE": "1",  # the caller has loaded what comes from a hub
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # despite its name: 0 binds Ray to 127.0.0.1, on Linux too
    "RAY_AUTH_MODE": "token",
}
SOCKET_TAIL = 72  # what Ray appends to its folder for a socket; a socket's path has 107 bytes at most
END_WITHIN = 10.0  # seconds for the process group to be gone


class _Client(ClientApp):
    """Hands the run configuration on, which run_simulation cannot; pickled by name, so every actor imports the app."""

    def __init__(self, config: dict[str, str | int]) -> None:
        super().__init__()
        self.config = config

    def __call__(self, message: Message, context: Context) -> Message:
        from fedgrow.federated.client_app import app

        # a copy, for Flower refuses a reply whose context has another configuration than it gave
        own = Context(
            context.run_id, context.node_id, dict(context.node_config), context.state, dict(self.config)
        )
        return app(message, own)


def _server(config: dict[str, str | int], outcome: dict[str, str]) -> ServerApp:
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        from fedgrow.federated.server_app import app

        try:
            context.run_config = dict(config)
            app(grid, context)
            outcome["done"] = "yes"  # Flower takes a ServerApp's SystemExit for success: trust only this
        except FedgrowError as error:
            outcome.setdefault("error", str(error))
            raise
        except BaseException:
            outcome.setdefault("error", traceback.format_exc())
            raise

    return server


def _child() -> None:
    """Run the simulation as the leader of a process group, and end with whoever started it."""
    spec: dict[str, Any] = json.loads(sys.stdin.readline())
    outcome: dict[str, str] = {}

    def end_with_caller() -> None:  # the whole group: Ray's agents outlive a killed driver
        sys.stdin.read()
        shutil.rmtree(spec["scratch"], ignore_errors=True)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=end_with_caller, daemon=True).start()
    try:
        from flwr.simulation import run_simulation

        run_simulation(
            _server(spec["config"], outcome),
            _Client(spec["config"]),
            spec["nodes"],
            backend_config={
                "init_args": {"address": "local", "num_cpus": spec["actors"], "_temp_dir": spec["scratch"]},
                "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            },
        )
    except BaseException:
        outcome.setdefault("error", traceback.format_exc())
    Path(spec["scratch"], "outcome.json").write_text(json.dumps(outcome), "utf-8")
    os._exit(0)  # a blocked ServerApp thread would keep us; the caller ends the rest of the group


def run_ray(nodes: int, config: dict[str, str | int], folder: Path) -> None:
    """Run both apps on Flower's Ray engine, to the end; one actor a core, one thread an actor.

    Args:
        nodes: how many participants.
        config: Flower's run configuration.
        folder: where ``ray.log`` goes.

    Raises:
        FedgrowError: Ray is not installed, or the run failed; the text says why.
    """
    if importlib.util.find_spec("ray") is None:
        raise FedgrowError(
            'engine ray: Ray is not installed; pip install "fedgrow[ray]", or use --engine local'
        )
    where = folder if len(os.fsencode(folder)) + 12 + SOCKET_TAIL <= 107 else None  # None: the system's
    events = folder / "events.jsonl"
    actors = min(nodes, len(os.sched_getaffinity(0)))  # more actors than nodes would only cost memory
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | ENVIRONMENT
    environment |= {"FLWR_HOME": str(folder / ".flwr"), "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with (
        tempfile.TemporaryDirectory(prefix="r", dir=where, ignore_cleanup_errors=True) as scratch,
        (folder / "ray.log").open("w+", errors="replace") as log,
    ):
        child = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import _child; _child()"],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        assert child.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it died at once: the log says why
                print(
                    json.dumps({"nodes": nodes, "config": config, "scratch": scratch, "actors": actors}),
                    file=child.stdin,
                    flush=True,
                )
            heard = events.stat().st_size if events.is_file() else 0
            while child.poll() is None:  # the child's events feed the progress bars here
                heard = replay(folder, heard)
                time.sleep(0.2)
            replay(folder, heard)
        finally:
            _end_group(child)
            child.stdin.close()
            shutil.rmtree(folder / ".flwr", ignore_errors=True)
        result = Path(scratch, "outcome.json")
        outcome = json.loads(result.read_text("utf-8")) if result.exists() else {}
        if "done" not in outcome:
            log.seek(0)
            raise FedgrowError(outcome.get("error") or f"the Ray engine ended early: {_tail(log)}")


def _end_group(child: "subprocess.Popen[str]") -> None:
    """Kill the child's process group until it is empty."""
    end = time.monotonic() + END_WITHIN
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            time.sleep(0.02)


def _tail(lines: Iterable[str]) -> str:
    return "".join(list(lines)[-20:])
