"""What the long commands share: a bar with a note on stderr, and the exit code of an interruption."""

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
