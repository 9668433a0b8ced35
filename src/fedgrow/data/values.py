"""What columns of texts and labels hold, checked row by row and turned into strings."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedgrow.data.names import listed
from fedgrow.data.rows import refuse
from fedgrow.errors import FedgrowError

BROKEN = "half characters (lone surrogates)"


def texts(values: Any, rows: NDArray[np.intp], column: str, setting: str = "data.text") -> list[str]:
    """Return a column's texts.

    Args:
        values: the values, one a row.
        rows: their row numbers in the source, for messages.
        column: the column's name, for messages.
        setting: the setting that names the column, for messages.

    Raises:
        FedgrowError: a text is null, empty or not a text; the text counts them and names the first row.
    """
    cells = _cells(values, column)
    refuse(pd.isna(cells), rows, column, "null texts")
    for row, cell in zip(rows, cells, strict=True):
        if not isinstance(cell, str):
            raise FedgrowError(
                f"column {column!r} holds {type(cell).__name__} at row {row}, not text; set {setting} to a "
                "column of texts"
            )
    refuse([not cell.strip() for cell in cells], rows, column, "empty texts")
    found = [str(cell) for cell in cells]
    refuse([is_broken(text) for text in found], rows, column, BROKEN)
    return found


def is_broken(text: str) -> bool:
    """Tell whether a text holds half of a character (a lone surrogate), which no file can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def strings(values: Any, rows: NDArray[np.intp], column: str, what: str) -> list[str]:
    """Return a column's labels, or the values that a partition goes by, as strings.

    Whole numbers become ``3``, not ``3.0``.

    Raises:
        FedgrowError: a value is null, empty or not a single value.
    """
    cells = _cells(values, column)
    refuse(pd.isna(cells), rows, column, f"null {what}")
    found = [single(cell, row, column) for row, cell in zip(rows, cells, strict=True)]
    refuse([not value.strip() for value in found], rows, column, f"empty {what}")
    refuse([is_broken(value) for value in found], rows, column, BROKEN)
    return found


def labels(values: Any, rows: NDArray[np.intp], column: str, closed: Sequence[str] | None) -> list[str]:
    """Return a column's labels, all of them within the closed list if there is one.

    Raises:
        FedgrowError: a label is null, empty, not a single value, or not in the list.
    """
    found = strings(values, rows, column, "labels")
    if closed is not None:
        known = set(closed)
        strange = [i for i, label in enumerate(found) if label not in known]
        if strange:
            raise FedgrowError(
                f"column {column!r} has label {found[strange[0]]!r} (row {rows[strange[0]]}; {len(strange)} "
                f"such rows in all), not in data.labels: {listed(closed)}; correct the row or add the label"
            )
    return found


def _cells(values: Any, column: str) -> NDArray[np.object_]:
    array: NDArray[np.object_] = (
        pd.Series(values).to_numpy(dtype=object) if np.ndim(values) == 1 else np.asarray(values)
    )
    if array.ndim == 2 and array.shape[1] == 1:  # labels as some archives keep them
        array = array[:, 0].astype(object)
    if array.ndim != 1:
        raise FedgrowError(f"column {column!r} has shape {array.shape}; expected one value a row")
    return array


def single(cell: Any, row: int, column: str) -> str:
    """Return a single value as a string; whole numbers become ``3``, not ``3.0``.

    Raises:
        FedgrowError: it is a list or the like.
    """
    if isinstance(cell, list | tuple | dict | set | bytes | np.ndarray):
        raise FedgrowError(
            f"column {column!r} holds a {type(cell).__name__} at row {row}; expected a single value"
        )
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell)
