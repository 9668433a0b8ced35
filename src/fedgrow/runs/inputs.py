"""The local files that a plan reads, by digest: the same plan on other files gives other results."""

import hashlib
from functools import cache
from pathlib import Path

from fedgrow.config.plan import Plan


def inputs(plan: Plan) -> list[list[str]]:
    """Return last name and SHA-256 of every local file or folder that a plan names, in its order; hub ids have none.

    Of a folder's files those that begin with a dot do not count: they are a desktop's or an editor's.
    """
    found: list[list[str]] = []

    def note(value: str) -> str:
        path = Path(value)
        if path.is_absolute() and path.exists():
            found.append([path.name, _digest(path, _stamps(path))])
        return value

    plan.with_paths(note)
    return found


def models(plan: Plan) -> list[list[str]]:
    """Return the same of models, tokenizers and operators alone: of data it matters what was read of them."""
    people = tuple(entry.model_copy(update={"data": None}) for entry in plan.participants)
    return inputs(plan.model_copy(update={"data": None, "participants": people}))


def holding(plan: Plan, out: Path) -> Path | None:
    """Return the folder that a plan reads in which another one lies, or is the same; None if there is none."""
    found: list[Path] = []

    def note(value: str) -> str:
        path = Path(value)
        if path.is_absolute() and path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            found.append(path)
        return value

    plan.with_paths(note)
    return found[0] if found else None


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    inside = ((p, p.relative_to(path).parts) for p in path.rglob("*") if p.is_file())
    return sorted(p for p, parts in inside if not any(part.startswith(".") for part in parts))


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
