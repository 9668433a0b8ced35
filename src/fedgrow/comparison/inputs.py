"""The local files that a plan reads, by digest: the same plan on other files gives other results."""

import hashlib
from functools import lru_cache
from pathlib import Path

from fedgrow.config.plan import Plan


def inputs(plan: Plan) -> list[list[str]]:
    """Return last name and SHA-256 of every local file or folder that a plan names, sorted; hub ids have none."""
    found: set[tuple[str, str]] = set()

    def note(value: str) -> str:
        path = Path(value)
        if path.is_absolute() and path.exists():
            found.add((path.name, _digest(path)))
        return value

    plan.with_paths(note)
    return [list(one) for one in sorted(found)]


@lru_cache
def _digest(path: Path) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{file.relative_to(path) if file != path else ''}\0{digest}\n".encode())
    return whole.hexdigest()
