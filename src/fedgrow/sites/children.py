"""Child processes: each ends with the process that began it, however that ends, and says what it says into a log."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from fedgrow.errors import FedgrowError

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "HF_HUB_OFFLINE": "1",
}
END_WITHIN = 10.0  # seconds from being asked to end to being ended
MOST_LOG = 8 * 1024 * 1024  # bytes of a log before it is begun anew; one older part is kept


class NotUp(FedgrowError):
    """A child that does not listen: not yet, or no more."""


class EndedEarly(NotUp):
    """It ended before it listened."""


class Child:
    """A Python program in a process of its own.

    Args:
        code: what it runs, after it has bound its end to ours.
        arguments: its command line.
        home: Flower's own folder for it.
        log: where it writes.
    """

    def __init__(self, code: str, arguments: Sequence[str], home: Path, log: Path) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.is_file() and log.stat().st_size > MOST_LOG:
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("ab") as file:
            self._begun = file.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import bound; bound()\n{code}", *arguments],
                env=os.environ | QUIET | {"FLWR_HOME": str(home)},
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,  # Ctrl-C is for us; we end it
            )

    def running(self) -> bool:
        """Tell whether it runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it, and wait for that."""
        if self.running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(END_WITHIN)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def last_words(self, lines: int = 12) -> str:
        """Return the last lines of what it said: what is in the log from others before it does not count."""
        said = self.log.read_bytes()[self._begun :] if self.log.is_file() else b""
        return "\n".join(said.decode("utf-8", errors="replace").splitlines()[-lines:])

    def how_it_ended(self) -> str:
        """Tell by what it ended, and its last words."""
        code = self._process.poll()
        by = "" if code is None else f" by signal {-code}" if code < 0 else f" with exit code {code}"
        words = self.last_words()
        return f"ended{by}; " + (
            f"its log {self.log} ends:\n{words}" if words else f"{self.log} has no word of it"
        )


def bound() -> None:
    """End this process when the one that began it is gone: then its end of our standard input is closed."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listening(host: str, port: int) -> bool:
    """Tell whether somebody listens there."""
    with socket.socket() as one:
        one.settimeout(1.0)
        return one.connect_ex((host, port)) == 0


def wait_until_free(host: str, port: int, within: float) -> None:
    """Wait until a port can be listened on: who has just ended may have it a moment longer.

    Raises:
        FedgrowError: it cannot.
    """
    end = time.monotonic() + within
    while (error := _taken(host, port)) is not None:
        if time.monotonic() > end:
            raise FedgrowError(
                f"port {port} of {host} cannot be listened on ({error}); end what listens there and give the command "
                "again, or begin a federation with another --port"
            )
        time.sleep(0.1)


def _taken(host: str, port: int) -> str | None:
    """Return why a port cannot be listened on; None: it can."""
    with socket.socket() as one:
        one.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: ended connections do not count
        try:
            one.bind((host, port))
        except OSError as error:
            return error.strerror
    return None


def wait_until_listening(child: Child, host: str, port: int, within: float) -> None:
    """Wait until a child listens.

    Raises:
        NotUp: it did not listen in time.
        EndedEarly: it ended; the text holds the end of its log.
    """
    end = time.monotonic() + within
    while not listening(host, port):
        if not child.running():
            raise EndedEarly(f"the process for {host}:{port} {child.how_it_ended()}")
        if time.monotonic() > end:
            raise NotUp(
                f"the process for {host}:{port} did not listen within {within:.0f} s; see its log {child.log}"
            )
        time.sleep(0.1)
