"""The local files that a plan reads, by digest: the same plan on other files gives other results."""

import hashlib
from functools import cache
from pathlib import Path

from fedgrow.config.plan import Plan


def inputs(plan: Plan) -> list[list[str]]:
    """Return last name and SHA-256 of every local file or folder that a plan names, in its order; hub ids have none."""
    found: list[list[str]] = []

    def note(value: str) -> str:
        path = Path(value)
        if path.is_absolute() and path.exists():
            found.append([path.name, _digest(path, _stamps(path))])
        return value

    plan.with_paths(note)
    return found


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _stamps(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what shows that a file is not the one that was read before: sizes and times."""
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in _files(path))


@cache
def _digest(path: Path, _: tuple[tuple[str, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for file in _files(path):
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{file.relative_to(path) if file != path else ''}\0{digest}\n".encode())
    return whole.hexdigest()
