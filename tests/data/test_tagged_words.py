"""Words and their tags: from every kind of file, dealt out, and what is refused."""

import json

import datasets
import numpy as np
import pandas as pd
import pytest

from fedgrow.config.plan import PartitionPlan
from fedgrow.data.examples import Examples, Tagged
from fedgrow.data.partition import partition
from fedgrow.data.sources import load
from fedgrow.errors import FedgrowError
from tests.data.making import WORDS, plan

ROWS = [Tagged(("I", "saw", "Rome"), ("O", "O", "B-loc")), Tagged(("Yes",), ("O",))]
RECORDS = [{"tokens": list(row.words), "ner_tags": list(row.tags)} for row in ROWS]


def parquet(path):
    pd.DataFrame(RECORDS).to_parquet(path)


def jsonl(path):
    path.write_text("\n".join(json.dumps(record) for record in RECORDS))


def csv(path):
    path.write_text("words,tags\nI saw  Rome,O O B-loc\nYes,O\n")


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".parquet", parquet),
        (".jsonl", jsonl),
        (".json", lambda path: path.write_text(json.dumps(RECORDS))),
        (".csv", csv),
    ],
)
def test_every_kind_of_file(tmp_path, suffix, write):
    file = tmp_path / f"words{suffix}"
    write(file)
    found = load(plan(file), WORDS, 0)
    assert (found.tagged, found.labels) == (ROWS, None)


def test_tags_of_the_hub_go_by_their_names(monkeypatch):
    classes = datasets.List(datasets.ClassLabel(names=["O", "B-loc"]))
    features = datasets.Features(tokens=datasets.List(datasets.Value("string")), ner_tags=classes)
    rows = {"tokens": [["I", "saw", "Rome"], ["Yes"]], "ner_tags": [[0, 0, 1], [0]]}
    data = datasets.Dataset.from_dict(rows, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: data)
    assert load(plan("owner/news"), WORDS, 0).tagged == ROWS


def test_numbers_are_tags_too(tmp_path):
    pd.DataFrame({"words": [["a", "b"]], "tags": [[3, 1]]}).to_parquet(tmp_path / "x.parquet")
    assert load(plan(tmp_path / "x.parquet"), WORDS, 0).tagged == [Tagged(("a", "b"), ("3", "1"))]


def test_they_are_taken_and_digested():
    found = Examples(list(ROWS), None, {"site": ["x", "y"]})
    assert found.take([1, 0]).tagged == ROWS[::-1]
    assert len({found.digest(), found.take([1, 0]).digest(), found.take([0]).digest()}) == 3
    with pytest.raises(TypeError, match="tagged words, not texts"):
        _ = found.texts
    with pytest.raises(TypeError, match="tagged words, not images"):
        _ = found.images


def test_the_limit_draws_rows(tmp_path):
    frame = pd.DataFrame({"words": [[str(i), "x"] for i in range(50)], "tags": [["A", "B"]] * 50})
    frame.to_parquet(tmp_path / "x.parquet")
    draws = [load(plan(tmp_path / "x.parquet", limit=5), WORDS, seed).tagged for seed in (0, 0, 1)]
    assert len(draws[0]) == 5
    assert draws[0] == draws[1] != draws[2]


def test_dirichlet_goes_by_a_column_or_not_at_all():
    sites = ["x", "y"] * 40
    found = Examples([ROWS[0]] * 80, None, {"site": sites})
    with pytest.raises(FedgrowError, match=r"no single one; name a column to go by as partition\.column"):
        partition(found, PartitionPlan(kind="dirichlet"), ["ada", "bob"], 0)
    skewed = PartitionPlan(kind="dirichlet", column="site", alpha=0.1, min_examples=1)
    made = partition(found, skewed, ["ada", "bob"], 0)
    assert sorted(made.shards["ada"] + made.shards["bob"]) == list(range(80))
    share = np.mean([sites[i] == "x" for i in made.shards["ada"]])
    assert not 0.3 < share < 0.7


@pytest.mark.parametrize(
    ("words", "tags", "fragments"),
    [
        ([["a"], ["b", "c"]], [["O"], ["O"]], ["'words' has 2 words at row 1", "'tags' 1 tags", "one tag"]),
        ([["a"], None], [["O"], ["O"]], ["'words' holds null at row 1", "list of words", "correct"]),
        ([["a"], []], [["O"], []], ["'words' has no words: 1 of 2 rows, first row 1"]),
        ([["a", " "]], [["O", "O"]], ["'words' has an empty word: 1 of 1 rows"]),
        ([["a", None]], [["O", "O"]], ["'words' has a null among the words: 1 of 1 rows"]),
        ([[1, 2]], [["O", "O"]], ["'words' holds int", "at row 0, not text", "data.words"]),
        ([3], [["O"]], ["'words' holds int", "at row 0"]),
        ([["a"]], [[None]], ["'tags' has a null among the tags"]),
        ([["a"]], [[""]], ["'tags' has an empty tag"]),
        ([["a", "b"]], [["O", "X"]], ["'tags' has tag 'X' (row 0)", "data.labels: 'O'", "add the tag"]),
    ],
)
def test_bad_rows_are_refused(tmp_path, words, tags, fragments):
    pd.DataFrame({"words": words, "tags": tags}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(FedgrowError) as caught:
        load(plan(tmp_path / "x.parquet", labels=("O",)), WORDS, 0)
    assert [f for f in ("data.source", *fragments) if f not in str(caught.value)] == []


def test_several_columns_of_tags_have_to_be_told_apart(tmp_path):
    frame = pd.DataFrame({"tokens": [["a"]], "ner_tags": [["O"]], "pos_tags": [["X"]]})
    frame.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(FedgrowError, match=r"data\.tags is not set and 'ner_tags', 'pos_tags' could each"):
        load(plan(tmp_path / "x.parquet"), WORDS, 0)
    assert load(plan(tmp_path / "x.parquet", tags="pos_tags"), WORDS, 0).tagged[0].tags == ("X",)


@pytest.mark.parametrize("name", ["tokens", "ner_tags"])
def test_half_a_character_is_refused(tmp_path, name):
    record = {"tokens": ["hi", "you"], "ner_tags": ["O", "O"]}
    file = tmp_path / "words.jsonl"
    file.write_text(json.dumps(record | {name: ["hi", "\ud83d"]}))
    with pytest.raises(
        FedgrowError, match=rf"column '{name}' has half characters .*1 of 1 rows, first row 0"
    ):
        load(plan(file), WORDS, 0)
