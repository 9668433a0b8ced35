"""What columns of lists hold, checked row by row: words and their tags."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedgrow.data.examples import Tagged
from fedgrow.data.names import listed
from fedgrow.data.rows import refuse
from fedgrow.data.values import BROKEN, is_broken, single
from fedgrow.errors import FedgrowError


def is_list(cell: Any) -> bool:
    """Whether a cell holds a list; readers bring lists as any of these."""
    return isinstance(cell, list | tuple | np.ndarray)


def tagged(
    words: Sequence[tuple[str, ...]],
    tags: Sequence[tuple[str, ...]],
    rows: NDArray[np.intp],
    columns: tuple[str, str],
    closed: Sequence[str] | None,
) -> list[Tagged]:
    """Return words with their tags, all tags within the closed list if there is one.

    Args:
        words: lists of words, one a row.
        tags: lists of tags, one a row.
        rows: their row numbers in the source, for messages.
        columns: the columns' names, for messages.
        closed: the plan's closed list.

    Raises:
        FedgrowError: a row has not as many tags as words, or a tag is not in the list.
    """
    known = None if closed is None else set(closed)
    for row, one, other in zip(rows, words, tags, strict=True):
        if len(one) != len(other):
            raise FedgrowError(
                f"column {columns[0]!r} has {len(one)} words at row {row}, column {columns[1]!r} {len(other)} tags; "
                "each word needs one tag: correct the row or take it out"
            )
        strange = None if known is None else next((tag for tag in other if tag not in known), None)
        if strange is not None:
            raise FedgrowError(
                f"column {columns[1]!r} has tag {strange!r} (row {row}), not in data.labels: "
                f"{listed(closed or ())}; correct the row or add the tag"
            )
    return [Tagged(one, other) for one, other in zip(words, tags, strict=True)]


def words(values: Any, rows: NDArray[np.intp], column: str) -> list[tuple[str, ...]]:
    """Return a column's lists of words.

    Raises:
        FedgrowError: a row is null, empty or not a list, or a word in it is null, empty or not a text.
    """
    found = _lists(values, rows, column, "words")
    for row, cells in zip(rows, found, strict=True):
        strange = next((cell for cell in cells if not isinstance(cell, str)), None)
        if strange is not None:
            raise FedgrowError(
                f"column {column!r} holds {type(strange).__name__} among the words at row {row}, not text; "
                "set data.words to a column of lists of words"
            )
    return _filled([tuple(cells) for cells in found], rows, column, "an empty word")


def tags(values: Any, rows: NDArray[np.intp], column: str) -> list[tuple[str, ...]]:
    """Return a column's lists of tags, as strings.

    Raises:
        FedgrowError: a row is null, empty or not a list, or a tag in it is null, empty or not a single value.
    """
    found = _lists(values, rows, column, "tags")
    named = [
        tuple(single(cell, row, column) for cell in cells) for row, cells in zip(rows, found, strict=True)
    ]
    return _filled(named, rows, column, "an empty tag")


def _lists(values: Any, rows: NDArray[np.intp], column: str, what: str) -> list[list[Any]]:
    found = []
    for row, cell in zip(rows, values, strict=True):
        if isinstance(cell, str):  # how a CSV file keeps them
            cell = cell.split()
        elif not is_list(cell):
            kind = "null" if pd.api.types.is_scalar(cell) and pd.isna(cell) else type(cell).__name__
            raise FedgrowError(
                f"column {column!r} holds {kind} at row {row}; expected a list of {what}, or {what} with spaces "
                "between them; correct the row, or name another column"
            )
        found.append(list(cell))
    refuse([not cells for cells in found], rows, column, f"no {what}")
    refuse(
        [any(not is_list(cell) and pd.isna(cell) for cell in cells) for cells in found],
        rows, column, f"a null among the {what}",
    )  # fmt: skip
    return found


def _filled(
    found: list[tuple[str, ...]], rows: NDArray[np.intp], column: str, what: str
) -> list[tuple[str, ...]]:
    refuse([any(not value.strip() for value in values) for values in found], rows, column, what)
    refuse([any(map(is_broken, values)) for values in found], rows, column, BROKEN)
    return found
