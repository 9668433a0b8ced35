"""What columns of answers hold, checked against the context row by row and turned into spans of characters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedgrow.data.lists import is_list
from fedgrow.errors import FedgrowError

Span = tuple[int, int]
TEXTS, STARTS = "text", "answer_start"  # of SQuAD's records


def spans(
    contexts: Sequence[str],
    columns: Mapping[str, str],
    values: Mapping[str, Any],
    rows: NDArray[np.intp],
) -> list[tuple[Span, ...]]:
    """Return every row's answers as spans of its context; none where there is no answer.

    Args:
        contexts: one a row.
        columns: the names of the columns by role: ``answer`` (SQuAD's records, or texts, then with
            ``answer_start``), or ``answer_start`` with ``answer_end``; a null means no answer.
        values: the columns' values by name.
        rows: their row numbers in the source, for messages.

    Raises:
        FedgrowError: columns that are needed are missing, or a row's answer is not where it is said to be.
    """
    roles = ("answer", "answer_start", "answer_end")
    cells = {role: list(values[columns[role]]) for role in roles if role in columns}
    none = [None] * len(contexts)
    answers, starts, ends = (cells.get(role, none) for role in roles)
    if any(isinstance(answer, dict) for answer in answers):
        column = columns["answer"]
        return [
            tuple(dict.fromkeys(_record(answer, context, column, row)))
            for answer, context, row in zip(answers, contexts, rows, strict=True)
        ]
    if "answer_start" not in columns:
        raise FedgrowError(
            f"column {columns['answer']!r} holds texts, which may stand in a context more than once; "
            "set data.answer_start to the column of their first characters"
        )
    if "answer" not in columns and "answer_end" not in columns:
        raise FedgrowError(
            f"column {columns['answer_start']!r} says where answers begin, and nothing says where they end; "
            "set data.answer or data.answer_end to a column"
        )
    found = []
    for context, answer, start, end, row in zip(contexts, answers, starts, ends, rows, strict=True):
        found.append(_flat(context, answer, start, end, columns, row))
    return found


def _record(answer: Any, context: str, column: str, row: int) -> list[Span]:
    if _missing(answer):
        return []
    parts: list[Any] = [answer.get(key) for key in (TEXTS, STARTS)] if isinstance(answer, dict) else []
    if not parts or not all(map(is_list, parts)) or len(parts[0]) != len(parts[1]):
        raise FedgrowError(
            f"column {column!r} holds {str(answer)[:60]!r} at row {row}; expected "
            f"{{{TEXTS!r}: [...], {STARTS!r}: [...]}} with two lists of one length; correct the row"
        )
    return [
        _checked(context, _whole(start, row, column), None, text, column, row)
        for text, start in zip(*parts, strict=True)
    ]


def _flat(
    context: str, answer: Any, start: Any, end: Any, columns: Mapping[str, str], row: int
) -> tuple[Span, ...]:
    column = columns["answer_start"]
    if _missing(start):
        for role, other in (("answer", answer), ("answer_end", end)):
            if not _missing(other):
                raise FedgrowError(
                    f"column {column!r} is null at row {row}, as for no answer, but column {columns[role]!r} "
                    f"has {other!r}; correct the row"
                )
        return ()
    last = _whole(end, row, columns["answer_end"]) if "answer_end" in columns else None
    text = answer if "answer" in columns else None
    if "answer" in columns and not isinstance(text, str):
        raise FedgrowError(
            f"column {columns['answer']!r} holds {_kind(text)} at row {row}, not text, though column {column!r} "
            f"has {start!r}; correct the row"
        )
    return (_checked(context, _whole(start, row, column), last, text, columns.get("answer", column), row),)


def _checked(context: str, start: int, end: int | None, text: Any, column: str, row: int) -> Span:
    last = end if end is not None else start + len(str(text))
    if not 0 <= start < last <= len(context):
        raise FedgrowError(
            f"column {column!r}: the answer of row {row} goes from character {start} to {last} of a context of "
            f"{len(context)}; expected 0 <= start < end <= {len(context)}, in characters; correct the row"
        )
    if text is not None and context[start:last] != text:
        raise FedgrowError(
            f"column {column!r} has {str(text)[:60]!r} at row {row}, but from character {start} to {last} its "
            f"context has {context[start:last][:60]!r}; starts are characters (not bytes) counted from 0; "
            "correct the row"
        )
    if not context[start:last].strip():
        raise FedgrowError(
            f"column {column!r}: the answer of row {row} is nothing but spaces; correct the row"
        )
    return start, last


def _whole(cell: Any, row: int, column: str) -> int:
    """Return a whole number, which a CSV file keeps as text and a column with nulls as a float."""
    try:
        number = float(cell) if isinstance(cell, str | int | float | np.number) else float("nan")
    except ValueError:
        number = float("nan")
    if not number.is_integer():
        raise FedgrowError(
            f"column {column!r} holds {_kind(cell)} ({str(cell)[:40]}) at row {row}; expected a whole number of "
            "characters, counted from 0; correct the row"
        )
    return int(number)


def _missing(cell: Any) -> bool:
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell)) or (isinstance(cell, str) and not cell)


def _kind(cell: Any) -> str:
    return "null" if _missing(cell) else type(cell).__name__
