"""What the long commands share: a bar with a note on stderr, and how they end at Ctrl-C."""

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

INTERRUPTED = 130


@contextmanager
def interruptible(tell: Callable[[str], None], then: str) -> Iterator[None]:
    """Let Ctrl-C end a command with a word on what then, and its own exit code; a second Ctrl-C changes nothing more.

    So does SIGTERM, by which service managers and schedulers ask for the end.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        tell(f"interrupted; {then}")
        sys.exit(INTERRUPTED)
    finally:
        signal.signal(signal.SIGTERM, before)


def plainly(console: Console) -> Callable[[str], None]:
    """Return what prints a text on a console as it is: no markup, no line broken, no cursor moved."""

    def tell(text: str) -> None:
        console.print(printable(text), soft_wrap=True, markup=False, highlight=False)

    return tell


def printable(text: str) -> str:
    """Return a text whose characters show themselves and move no cursor: some of it may come from the coordinator."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def step_bars(console: Console, *, as_json: bool) -> Progress:
    """Return progress bars that count steps, each task with a ``note``."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=not console.is_terminal,
        disable=as_json and not console.is_terminal,
    )


def table_console(least: int = 160) -> Console:
    """Return a console wide enough for tables: a narrow terminal breaks its lines, but no number or word is cut."""
    return Console(width=max(least, shutil.get_terminal_size().columns))
