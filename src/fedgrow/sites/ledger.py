"""The ledger: what left a site, line by line, each line bound to the one before by its hash."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import Message

from fedgrow.disk.atomic import append_line
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import PLAN
from fedgrow.exchange.packing import unpacked
from fedgrow.exchange.wire import to_bytes

FIRST = "0" * 64


class Ledger:
    """A site's ledger, one for an experiment.

    A line says when, in answer to what, which arrays (names, types, shapes), which metrics, how many bytes, and their
    SHA-256; ``before`` is the hash of the line before. It is on disk before the message is handed on.

    Attributes:
        last: the type of the last message that was answered, but for those that show the plan.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cut()
        lines = verify(path)
        self.entries = len(lines)
        self.head: str = lines[-1]["hash"] if lines else FIRST
        self.bytes = sum(line["bytes"] for line in lines)
        self.last: str = next((line["to"] for line in reversed(lines) if _answers(line)), "")

    def enter(self, reply: Message, server_round: int) -> dict[str, Any]:
        """Enter a message, packed as it is about to leave.

        Raises:
            FedgrowError: it cannot be written.
        """
        data = to_bytes(reply)
        entry: dict[str, Any] = {
            "entry": self.entries + 1,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "to": reply.metadata.message_type,
            "round": server_round,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "before": self.head,
        }
        if reply.has_error():
            entry |= {"error": reply.error.reason}
        else:
            content = unpacked(reply.content)
            entry |= {
                "arrays": {
                    name: [array.dtype, list(array.shape)]
                    for record in content.array_records.values()
                    for name, array in record.items()
                },
                "metrics": {
                    name: value
                    for record in content.metric_records.values()
                    for name, value in record.items()
                },
            }
        line = entry | {"hash": _hash(entry)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.path, json.dumps(line, ensure_ascii=False), to_disk=True)
        except OSError as error:
            raise FedgrowError(
                f"ledger {self.path} cannot be written ({error}); nothing leaves without it"
            ) from None
        self.head, self.entries, self.bytes = line["hash"], line["entry"], self.bytes + len(data)
        self.last = line["to"] if _answers(line) else self.last
        return line

    def _cut(self) -> None:
        """Take off a last line that was not written to its end: what it was for did not leave."""
        data = self.path.read_bytes() if self.path.is_file() else b""
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self.path.open("r+b") as file:
                file.truncate(whole)


def verify(path: Path) -> list[dict[str, Any]]:
    """Return a ledger's lines; none if there is no ledger yet.

    Raises:
        FedgrowError: a line was changed, taken out, put in, or not written to its end; the text names the first.
    """
    lines: list[dict[str, Any]] = []
    before = FIRST
    data = path.read_bytes() if path.is_file() else b""
    if not data:
        return lines
    for number, text in enumerate(data.decode("utf-8", errors="replace").removesuffix("\n").split("\n"), 1):
        try:
            line = json.loads(text)
            entry = {key: value for key, value in line.items() if key != "hash"}
            whole = line["hash"] == _hash(entry) and line["before"] == before and line["entry"] == number
        except (ValueError, KeyError, AttributeError, TypeError):
            whole = False
        if not whole:
            raise FedgrowError(
                f"ledger {path}: line {number} is not as it was written, or a line before it is missing"
            )
        before = line["hash"]
        lines.append(line)
    return lines


def _answers(line: dict[str, Any]) -> bool:
    return "error" not in line and line["to"] != PLAN


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
