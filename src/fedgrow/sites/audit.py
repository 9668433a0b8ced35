"""What left a site, from its ledger, in figures and in words."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from fedgrow.errors import FedgrowError
from fedgrow.sites.ledger import FIRST, verify


def audited(path: Path, expected: str | None = None) -> dict[str, Any]:
    """Verify a ledger and sum it up.

    Args:
        path: the ledger.
        expected: a hash that was its last line's once.

    Raises:
        FedgrowError: it is not as it was written, or the expected line is not in it.
    """
    lines = verify(path)
    hashes = [line["hash"] for line in lines]
    if expected is not None and expected not in hashes:
        raise FedgrowError(f"ledger {path}: no line has the hash {expected}; lines were taken off its end")
    arrays = {name: tuple(spec) for line in lines for name, spec in line.get("arrays", {}).items()}
    return {
        "entries": len(lines),
        "head": hashes[-1] if hashes else FIRST,
        "first": lines[0]["time"] if lines else None,
        "last": lines[-1]["time"] if lines else None,
        "bytes": sum(line["bytes"] for line in lines),
        "messages": dict(Counter(line["to"] for line in lines)),
        "errors": sum("error" in line for line in lines),
        "rounds": max((line["round"] for line in lines), default=0),
        "arrays": {name: {"type": kind, "shape": shape} for name, (kind, shape) in sorted(arrays.items())},
        "numbers": sum(math.prod(shape) for _, shape in arrays.values()),
        "metrics": sorted({name for line in lines for name in line.get("metrics", {})}),
    }


def in_words(found: dict[str, Any]) -> str:
    """Say what left."""
    if not found["entries"]:
        return "whole; nothing has left."
    answers = ", ".join(f"{count} to {kind}" for kind, count in found["messages"].items())
    return (
        f"whole, {found['entries']} messages ({answers}) from {found['first']} to {found['last']}, "
        f"{found['bytes']:,} bytes, up to round {found['rounds']}.\n"
        f"  In a training round left {len(found['arrays'])} arrays of Global-LiGO, {found['numbers']:,} numbers: "
        f"{', '.join(found['arrays']) or 'none'}.\n"
        f"  Beside them only these numbers: {', '.join(found['metrics'])}.\n"
        f"  {found['errors']} answers said that the site could not answer, and no more than that.\n"
        f"  The last line's hash, to be noted elsewhere: {found['head']}"
    )
