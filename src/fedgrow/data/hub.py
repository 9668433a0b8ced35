"""The readers of Hugging Face data sets: of the hub, and of folders that ``datasets`` has saved."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedgrow.data.readers import Table
from fedgrow.errors import FedgrowError, first_line

SAVED = ("dataset_dict.json", "state.json")  # what a folder of several splits has, and one of a single table


class Hub(Table):
    """A data set of the hub's kind; only the rows that are used are brought into memory."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.names = list(data.column_names)

    def count(self, name: str) -> int:
        """Return the number of rows."""
        return len(self.data)

    def values(self, name: str, rows: NDArray[np.intp]) -> Any:
        """Return a column's values at some rows; classes by their names, class -1 (not labelled) as null."""
        from datasets import ClassLabel

        values = self.data.select(rows).select_columns([name]).to_pandas()[name]
        feature = self.data.features[name]
        if isinstance(feature, ClassLabel):
            return values.map(dict(enumerate(feature.names)))
        inner = getattr(feature, "feature", None)  # of lists
        if isinstance(inner, ClassLabel):
            named = dict(enumerate(inner.names))
            return values.map(lambda ids: [named.get(i) for i in ids], na_action="ignore")
        return values


def read_hub(source: str, split: str) -> Table:
    """Load a split of a data set by its hub id; no code of the data set's is ever run.

    Raises:
        FedgrowError: it cannot be had; the text says why.
    """
    from datasets import Dataset, load_dataset

    try:
        data = load_dataset(source, split=split)
    except Exception as error:  # of the hub's client, the network, or the builder: they share no base
        raise FedgrowError(
            f"the data set could not be had from the hub: {first_line(error)}; check the id, data.split ({split!r}) "
            "and the network, or name a local .parquet, .csv, .jsonl, .json or .npz file"
        ) from error
    if not isinstance(data, Dataset):
        raise FedgrowError(
            f"data.split {split!r} gives a {type(data).__name__}, not one table; name one split"
        )
    return Hub(data)


def read_saved(folder: Path, split: str) -> Table:
    """Open a folder that ``save_to_disk`` wrote: its only table, or one of its splits.

    Raises:
        FedgrowError: it cannot be read, or has no such split.
    """
    from datasets import DatasetDict, load_from_disk

    try:
        data = load_from_disk(str(folder))
    except Exception as error:  # of files, JSON or Arrow: they share no base
        raise FedgrowError(
            f"this saved data set cannot be read ({first_line(error)}); check that the folder is whole"
        ) from error
    if not isinstance(data, DatasetDict):
        if split != "train":
            raise FedgrowError(f"data.split is {split!r}, but this data set has no splits; leave it out")
        return Hub(data)
    if split not in data:
        raise FedgrowError(f"it has no split {split!r}; set data.split to one of {', '.join(data)}")
    return Hub(data[split])
