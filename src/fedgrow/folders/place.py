"""Where a grown model may be written: a new folder, an empty one, or, where that is asked for, one that was grown before."""

import shutil
from pathlib import Path

from fedgrow.errors import FedgrowError

RECEIPT = "parity.json"  # every folder of a grown model has one


def check_place(out: Path, *, small: Path | None = None, overwrite: bool = False, needed: int = 0) -> None:
    """Refuse a place where writing would fail, or would take away what nobody meant.

    Args:
        out: the folder to be written.
        small: the small model's folder, if it has one.
        overwrite: whether a grown model that is there may be replaced.
        needed: bytes to be written.

    Raises:
        FedgrowError: it cannot be there; the text says why, and what to do.
    """
    place = out.resolve()
    above = next(path for path in (place, *place.parents) if path.exists())
    if not above.is_dir():
        raise FedgrowError(f"--out {out}: {above} is a file; name a new folder")
    for held, what in ((Path.cwd(), "working directory"), (small, "small model's own folder")):
        if held is not None and held.resolve().is_relative_to(place):
            raise FedgrowError(f"--out {out}: it is the {what}, or holds it; name a new folder")
    if above == place and any(place.iterdir()) and not (overwrite and (place / RECEIPT).is_file()):
        raise FedgrowError(
            f"--out {out}: it is there already, and not empty; name a new folder (fedgrow grow --overwrite replaces "
            f"one with a grown model and its {RECEIPT}, but no other)"
        )
    free = shutil.disk_usage(above).free
    if free < needed:
        raise FedgrowError(
            f"--out {out}: the grown model needs {needed:,} bytes, the disk has {free:,}; choose another place"
        )
