"""One process at a time in a folder; the system lets go of it when that process ends, however it does."""

import contextlib
import os
import socket
from importlib import import_module
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Any

from fedgrow.errors import FedgrowError

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows has none: there the user has to see to it
    fcntl = import_module("fcntl")

FILE = ".lock"
TRIES, BETWEEN = 10, 0.05  # seconds between them: `held` takes it for a moment


class Lock:
    """A folder that is this process's until it lets go.

    Args:
        folder: the folder; it has to be there.

    Raises:
        FedgrowError: another has it; the text says who.
    """

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o644)
        tries = 0
        while _taken(self._file) is False:
            tries += 1
            if tries == TRIES:
                who = os.read(self._file, 200).decode(errors="replace").strip() or "another process"
                os.close(self._file)
                raise FedgrowError(f"{folder}: {who} is at work in it; wait for its end, or end it")
            sleep(BETWEEN)
        with contextlib.suppress(OSError):  # a full disk: it is held all the same
            os.ftruncate(self._file, 0)
            os.write(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Let go."""
        os.close(self._file)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def held(folder: Path) -> bool | None:
    """Tell whether a process is at work in a folder; None where that cannot be told."""
    try:
        file = os.open(folder / FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        taken = _taken(file, shared=True)
        return None if taken is None else not taken
    finally:
        os.close(file)


def _taken(file: int, *, shared: bool = False) -> bool | None:
    """Take a lock; False where another has it, None where there are no locks (some file systems of networks)."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
