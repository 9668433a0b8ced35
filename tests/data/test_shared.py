"""Real data, which are not part of the repository."""

import numpy as np
import pytest

from fedgrow.config.plan import PartitionPlan
from fedgrow.data.partition import partition
from fedgrow.data.sources import load
from fedgrow.data.split import split
from tests.data.making import IMAGE, LANGUAGE, QUESTIONS, TEXT, WORDS, plan, shared

pytestmark = pytest.mark.shared
NAMES = ["arles", "basel", "cadiz", "delft"]


def test_wordnet_nouns():
    found = load(plan(shared("text/wordnet_nouns_train.parquet")), TEXT, 0)
    assert len(found) == 73_484
    assert len(set(found.labels)) == 26
    made = partition(found, PartitionPlan(kind="dirichlet", min_examples=100, max_examples=400), NAMES, 0)
    for rows in made.shards.values():
        train, test = split(rows, found.take(rows).labels, 0.25, 0)
        assert sorted(train + test) == rows


def test_package_descriptions_by_maintainer():
    found = load(plan(shared("text/package_descriptions.parquet")), TEXT, 0, ("client",))
    made = partition(found, PartitionPlan(kind="column", column="client"), NAMES, 0)
    assert sum(map(len, made.shards.values())) == len(found)
    clients = [set(found.take(rows).columns["client"]) for rows in made.shards.values()]
    assert sum(map(len, clients)) == len(set.union(*clients)) == 1969


@pytest.mark.parametrize(("part", "count"), [("train", 20_000), ("test", 5_000)])
def test_fashion_mnist(part, count):
    found = load(plan(shared("images/fashion_mnist_25k.npz"), split=part), IMAGE, 0)
    assert found.images.shape == (count, 1, 28, 28)
    assert (found.images.dtype, found.images.min(), found.images.max()) == (np.float32, 0, 1)
    assert set(found.labels) == set("0123456789")


def test_documents_by_source():
    found = load(plan(shared("language/documents.parquet")), LANGUAGE, 0, ("source",))
    names = ["linux_manpages", "perl_doc", "postgres_doc", "python_doc"]
    made = partition(found, PartitionPlan(kind="column", column="source"), names, 0)
    for name, rows in made.shards.items():
        assert set(found.take(rows).columns["source"]) == {name}
    assert sum(map(len, made.shards.values())) == len(found) == 1529


def test_shakespeare_by_role():
    found = load(plan(shared("language/shakespeare_roles.parquet"), limit=5_000), LANGUAGE, 0, ("client",))
    made = partition(found, PartitionPlan(kind="column", column="client", max_examples=300), NAMES, 0)
    assert [len(made.shards[name]) for name in NAMES] == [300] * 4


@pytest.mark.parametrize(
    ("name", "count", "tags", "extra"),
    [("brown_pos", 48_494, 15, ("genre",)), ("wnut17_train", 3_394, 13, ())],
)
def test_tagged_words(name, count, tags, extra):
    found = load(plan(shared(f"tokens/{name}.parquet")), WORDS, 0, extra)
    assert len(found) == count
    assert len({tag for row in found.tagged for tag in row.tags}) == tags
    if extra:
        by_genre = PartitionPlan(kind="dirichlet", column="genre", min_examples=100)
        made = partition(found, by_genre, NAMES, 0)
        assert sum(map(len, made.shards.values())) == count


def test_slots_of_restaurant_bookings():
    found = load(plan(shared("spans/restaurants8k_train.parquet")), QUESTIONS, 0, ("slot",))
    assert len(found) == 7_635
    assert set(found.columns["slot"]) == {"people", "time", "date", "first_name", "last_name"}
    assert found.asked[0].answers == ["5 adults and 1 child"]
