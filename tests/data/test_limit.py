import numpy as np
import pandas as pd
import pytest

from fedgrow.data.sources import load
from fedgrow.errors import FedgrowError
from tests.data.making import IMAGE, LANGUAGE, TEXT, plan


@pytest.fixture
def source(tmp_path):
    rows = range(50)
    pd.DataFrame({"text": [f"t{i}" for i in rows], "label": rows, "site": rows}).to_parquet(
        tmp_path / "d.parquet"
    )
    return tmp_path / "d.parquet"


def test_limit_draws_by_the_seed_and_keeps_order(source):
    found = load(plan(source, limit=12), TEXT, 5, ("site",))
    rows = [int(label) for label in found.labels]
    assert len(rows) == 12
    assert rows == sorted(set(rows))
    assert found.texts == [f"t{i}" for i in rows]
    assert found.columns["site"] == found.labels
    assert load(plan(source, limit=12), TEXT, 5).labels == found.labels
    assert load(plan(source, limit=12), TEXT, 6).labels != found.labels


def test_the_draw_is_the_same_on_every_machine(source):
    assert load(plan(source, limit=5), TEXT, 0).labels == ["5", "10", "14", "16", "48"]


@pytest.mark.parametrize("limit", [50, 51])
def test_a_limit_that_leaves_all(source, limit):
    assert load(plan(source, limit=limit), TEXT, 0).labels == [str(i) for i in range(50)]


def test_limit_of_images():
    found = load(plan("bundled:digits", limit=7), IMAGE, 0)
    whole = load(plan("bundled:digits"), IMAGE, 0)
    rows = [int(np.flatnonzero((whole.images == image).all((1, 2, 3)))[0]) for image in found.images]
    assert rows == sorted(rows)
    assert found.labels == whole.take(rows).labels


def test_messages_count_rows_of_the_source(tmp_path):
    (tmp_path / "d.jsonl").write_text('{"text": "a"}\n' * 20 + '{"text": ""}\n' * 20)
    with pytest.raises(FedgrowError, match=r"empty texts: \d+ of 30 rows, first row 2\d "):
        load(plan(tmp_path / "d.jsonl", limit=30), LANGUAGE, 0)
