"""What happened, line by line: ``events.jsonl``, and listeners in the same process (progress bars)."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedgrow.disk.atomic import append_line

Listener = Callable[[dict[str, Any]], None]
_listeners: dict[Path, list[Listener]] = {}


def listen(folder: Path, listener: Listener) -> None:
    """Call a listener for every event of a run folder."""
    _listeners.setdefault(folder.resolve(), []).append(listener)


def stop_listening(folder: Path) -> None:
    """Forget the listeners of a run folder."""
    _listeners.pop(folder.resolve(), None)


def emit(folder: Path, event: str, **values: Any) -> None:
    """Append an event to the run's log and tell the listeners."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **values}
    append_line(folder / "events.jsonl", json.dumps(line, ensure_ascii=False))
    for listener in _listeners.get(folder.resolve(), []):
        listener(line)


def replay(folder: Path, offset: int) -> int:
    """Tell the listeners of events that another process has appended since ``offset``; return where it ends now."""
    path = folder / "events.jsonl"
    if not path.is_file():
        return offset
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):  # still being written
                break
            offset += len(line)
            for listener in _listeners.get(folder.resolve(), []):
                listener(json.loads(line))
    return offset
