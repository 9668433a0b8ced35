"""Paths as users write them."""

from pathlib import Path

from fedgrow.errors import FedgrowError


def at_home(value: str) -> Path:
    """Return a path, ``~`` and ``~user`` replaced by the home that they stand for.

    Raises:
        FedgrowError: there is no such home.
    """
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise FedgrowError(
            f"path {value!r}: nothing is known of the home {Path(value).parts[0]}; write the path in full"
        ) from None
