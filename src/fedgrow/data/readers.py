"""Readers: each opens one kind of source as a table, and knows nothing of tasks."""

import csv
import json
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedgrow.errors import FedgrowError


class Table(ABC):
    """Columns that are known by name before they are read."""

    names: list[str]

    @abstractmethod
    def count(self, name: str) -> int:
        """Return the number of rows of a column."""

    @abstractmethod
    def values(self, name: str, rows: NDArray[np.intp]) -> Any:
        """Return a column's values at some rows."""


class Frame(Table):
    """A pandas table."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame.rename(columns=str)
        self.names = [str(name) for name in self.frame.columns]

    def count(self, name: str) -> int:
        """Return the number of rows."""
        return len(self.frame)

    def values(self, name: str, rows: NDArray[np.intp]) -> Any:
        """Return a column's values at some rows, as a Series."""
        return self.frame[name].iloc[rows]


class Arrays(Table):
    """Arrays by name; they may differ in length."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = arrays
        self.names = list(arrays)

    def count(self, name: str) -> int:
        """Return the length of an array's first axis."""
        return len(self.arrays[name])

    def values(self, name: str, rows: NDArray[np.intp]) -> Any:
        """Return an array at some rows."""
        return self.arrays[name][rows]


def read_digits(source: str) -> Table:
    """Read scikit-learn's handwritten digits: 1,797 images of 8 x 8, ten classes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return Arrays({"image": (digits.images / 16).astype(np.float32), "label": digits.target})


def read_parquet(source: str) -> Table:
    """Read a Parquet file; a named index counts as a column."""
    frame = pd.read_parquet(source)
    return Frame(frame.reset_index(drop=None in frame.index.names))


def read_csv(source: str) -> Table:
    """Read a CSV file with a header line, UTF-8, all values as strings; only an empty value is null."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
        try:
            frame = pd.read_csv(
                source,
                dtype=str,
                keep_default_na=False,
                na_values=[""],
                index_col=False,
                encoding="utf-8-sig",
            )
        except pd.errors.EmptyDataError:
            raise FedgrowError("it holds no rows") from None
        except (pd.errors.ParserError, pd.errors.ParserWarning):
            _separated_by_commas(source)
            raise
    if len(frame.columns) == 1:
        _separated_by_commas(source)
    _check_header(source)
    return Frame(frame)


def _check_header(source: str) -> None:
    """Refuse columns of one name, of which pandas would rename all but the first."""
    with Path(source).open(encoding="utf-8-sig", newline="") as file:
        names = Counter(next(csv.reader(file), []))
    if twice := [name for name, times in names.items() if times > 1]:
        raise FedgrowError(f"column {twice[0]!r} stands twice in its header; rename one of them")


def _separated_by_commas(source: str) -> None:
    """Refuse a file whose first line names columns, but with other separators than commas."""
    with Path(source).open(encoding="utf-8-sig") as file:
        head = file.readline().rstrip("\r\n")
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in head and "," not in head:
            raise FedgrowError(f"its columns are separated by {name} ({head[:80]!r}); save it with commas")


def read_jsonl(source: str) -> Table:
    """Read a file with one JSON object a line; blank lines are passed over."""
    with Path(source).open(encoding="utf-8-sig") as file:
        return _records([_parsed(line, number) for number, line in enumerate(file, 1) if line.strip()])


def _parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise FedgrowError(f"line {number} is not JSON ({error.msg}); correct it") from error


def read_json(source: str) -> Table:
    """Read a JSON file that is a list of objects."""
    records = json.loads(Path(source).read_text("utf-8-sig"))
    if not isinstance(records, list):
        raise FedgrowError(f"a .json file has to hold a list of objects, not a {type(records).__name__}")
    return _records(records)


def _records(records: list[Any]) -> Table:
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise FedgrowError(
                f"record {row} is a {type(record).__name__}; expected an object such as {{'text': ...}}"
            )
    return Frame(pd.DataFrame.from_records(records))


def read_npz(source: str) -> Table:
    """Read a NumPy archive; pickled objects in it are refused."""
    # opened here, for np.load leaves a damaged archive open
    with Path(source).open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return Arrays({name: array for name, array in arrays.items() if array.ndim})
