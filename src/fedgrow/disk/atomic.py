"""Writes that are whole or not there."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_numpy
from safetensors.numpy import save as save_numpy
from safetensors.torch import load_file, save
from torch import Tensor

from fedgrow.errors import FedgrowError, first_line

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
MOUNTS = Path("/proc/self/mountinfo")  # on Linux; the fifth word of a line is where
MEND = "restore the file, go on with the fedgrow that wrote it, or begin anew in another folder"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file beside its place, flush it to disk, and move it in; nothing stays if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def append_line(path: Path, line: str, *, to_disk: bool = False) -> None:
    """Add a line to a file: all of it, or nothing where that fails (a full disk).

    Args:
        path: the file; it need not be there.
        line: the line, without its end.
        to_disk: wait until it is on disk.
    """
    with path.open("ab", buffering=0) as file:
        before, data = file.seek(0, os.SEEK_END), line.encode("utf-8") + b"\n"
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            if to_disk:
                os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


def make_folder(path: Path, setting: str) -> None:
    """Make a folder that a setting names, unless it is there.

    Raises:
        FedgrowError: it cannot be made; the text names the setting.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FedgrowError(f"{setting}: {path} cannot be made ({error}); name another one") from None


def write_text(path: Path, text: str) -> None:
    """Write text."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_text(path: Path) -> str:
    """Read text.

    Raises:
        FedgrowError: the file is missing or damaged.
    """
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        FedgrowError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None


def read_record(path: Path, model: type[M]) -> M:
    """Read JSON that has a form.

    Raises:
        FedgrowError: the file is missing or damaged, or holds something else.
    """
    value = read_json(path)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise FedgrowError(f"{path}: {place or 'it'}: {first['msg']}; {MEND}") from None


def _damaged(path: Path, error: Exception) -> FedgrowError:
    return FedgrowError(f"{path}: it cannot be read ({first_line(error)}); {MEND}")


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors; an empty mapping is allowed."""
    write_bytes(path, save({name: t.detach().contiguous() for name, t in tensors.items()}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read safetensors, names sorted.

    Raises:
        FedgrowError: the file is missing or damaged.
    """
    return _sorted(path, load_file)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as safetensors."""
    write_bytes(path, save_numpy({name: np.ascontiguousarray(a) for name, a in arrays.items()}))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read safetensors, names sorted.

    Raises:
        FedgrowError: the file is missing or damaged.
    """
    return _sorted(path, load_numpy)


def _sorted(path: Path, load: Callable[[Path], dict[str, T]]) -> dict[str, T]:
    try:
        return dict(sorted(load(path).items()))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise _damaged(path, error) from None


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside its place and move it in, replacing an older one; if that fails, the older one alone stays.

    A link is followed. A mount point cannot be moved; there the folder is filled inside, and what it holds is moved.
    """
    place = path.resolve()
    beside = place if _is_mounted(place) else place.parent
    part, old = (beside / f".{place.name}.{end}" for end in ("part", "old"))
    for left in (part, old):
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        fill(part)
        _move_all(_moves(place, part, old))
    except BaseException:  # Ctrl-C, too
        shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):  # it is not there, or holds what could not be moved back
            old.rmdir()
        raise
    for left in (part, old):
        shutil.rmtree(left, ignore_errors=True)


def _is_mounted(place: Path) -> bool:
    """Tell whether a folder is a mount point; one from the same file system is told by Linux's list of them alone."""
    escaped = str(place)
    for character in "\\ \t\n":
        escaped = escaped.replace(character, f"\\{ord(character):03o}")
    with suppress(OSError, UnicodeDecodeError):
        if any(line.split()[4] == escaped for line in MOUNTS.read_text("utf-8").splitlines()):
            return True
    return os.path.ismount(place)


def _moves(place: Path, part: Path, old: Path) -> list[tuple[Path, Path]]:
    """Return what has to be moved where, for ``part`` to stand in its place and what was there to be ``old``."""
    there = sorted(place.iterdir()) if place.exists() else []
    if part.parent == place:
        old.mkdir()
        away = [(file, old / file.name) for file in there if file != part]
        return away + [(file, place / file.name) for file in sorted(part.iterdir())]
    return ([(place, old)] if there else []) + [(part, place)]


def _move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Move files or folders: all of them, or none."""
    for done, (source, target) in enumerate(moves):
        try:
            source.replace(target)
        except BaseException:
            for before, after in reversed(moves[:done]):
                after.replace(before)
            raise
