"""Rows of a source: which of them are used, and the refusal of those that are not fit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgrow.data.generator import generator
from fedgrow.errors import FedgrowError


def drawn(count: int, limit: int | None, seed: int) -> NDArray[np.intp]:
    """Return the rows to use, ascending: all, or as many as the limit allows, drawn by the seed."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.sort(generator(seed, "limit").choice(count, limit, replace=False))


def refuse(bad: Any, rows: NDArray[np.intp], column: str, what: str) -> None:
    """Refuse a column if any row is bad.

    Args:
        bad: for every row, whether it is bad.
        rows: their row numbers in the source.
        column: the column's name.
        what: what is bad about the rows, such as ``null texts``.

    Raises:
        FedgrowError: some are; the text counts them and names the first.
    """
    where = np.flatnonzero(bad)
    if len(where):
        raise FedgrowError(
            f"column {column!r} has {what}: {len(where)} of {len(rows)} rows, first row {rows[where[0]]} "
            "(counted from 0); correct these rows or take them out"
        )
