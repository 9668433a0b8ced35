"""Small files for the tasks that look into a text."""

from pathlib import Path

import pandas as pd

PEOPLE, PLACES = ["Ada", "Bob", "Cyd", "Di"], ["Rome", "Bern", "Oslo", "Kyoto"]


def words(path: Path) -> Path:
    rows = [
        {
            "tokens": f"{who} went to {place} {i}".split(),
            "tags": ["B-per", "O", "O", "B-loc", "O"],
            "site": who,
        }
        for i in range(8)
        for who in PEOPLE
        for place in PLACES
    ]
    pd.DataFrame(rows).to_parquet(path)
    return path


def slots(path: Path) -> Path:
    rows = []
    for i in range(8):
        for who in PEOPLE:
            text = f"{who} went to {PLACES[i % 4]} {i}"
            at = text.index(PLACES[i % 4])
            rows += [
                {"question": "where?", "context": text, "start": at, "end": at + len(PLACES[i % 4])},
                {"question": "when?", "context": text, "start": None, "end": None},
            ]
    pd.DataFrame(rows).to_parquet(path)
    return path
