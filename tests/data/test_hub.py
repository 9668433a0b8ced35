"""The hub's reader, with data sets made here in place of downloads."""

import datasets
import numpy as np
import pytest
from PIL import Image

from fedgrow.data.sources import load
from fedgrow.errors import FedgrowError
from tests.data.making import IMAGE, TEXT, plan

CLASSES = datasets.ClassLabel(names=["World", "Sports"])


@pytest.fixture
def hub(monkeypatch):
    """Return a function that sets what the hub gives, and the calls made to it."""
    calls = []

    def serve(columns, **features):
        data = columns
        if features:
            data = datasets.Dataset.from_dict(columns, features=datasets.Features(features))

        def load_dataset(*args, **keywords):
            calls.append((args, keywords))
            return data

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        return calls

    return serve


def test_classes_go_by_their_names(hub):
    calls = hub({"text": ["a", "b"], "label": [1, 0]}, text=datasets.Value("string"), label=CLASSES)
    found = load(plan("owner/news", split="test"), TEXT, 0)
    assert (found.texts, found.labels) == (["a", "b"], ["Sports", "World"])
    assert calls == [(("owner/news",), {"split": "test"})]  # and nothing like trust_remote_code


def test_rows_without_a_class_are_refused(hub):
    hub({"text": ["a", "b"], "label": [1, -1]}, text=datasets.Value("string"), label=CLASSES)
    with pytest.raises(FedgrowError, match="null labels: 1 of 2 rows, first row 1"):
        load(plan("owner/news"), TEXT, 0)


def test_images_and_limit(hub):
    pixels = [np.full((3, 4), 10 * i, dtype=np.uint8) for i in range(9)]
    hub(
        {"image": [Image.fromarray(p) for p in pixels], "label": list(range(9))},
        image=datasets.Image(),
        label=datasets.Value("int64"),
    )
    found = load(plan("owner/digits", limit=4), IMAGE, 1)
    assert found.images.shape == (4, 1, 3, 4)
    np.testing.assert_allclose(found.images[:, 0, 0, 0] * 255 / 10, [int(i) for i in found.labels], rtol=1e-6)


def test_several_splits_at_once(hub):
    hub(datasets.DatasetDict())
    with pytest.raises(FedgrowError, match="gives a DatasetDict, not one table"):
        load(plan("owner/news"), TEXT, 0)


def test_what_the_hub_does_not_have():
    """Offline, as the tests are, nothing is had."""
    with pytest.raises(
        FedgrowError, match=r"owner/gone: the data set could not be had .*or name a local"
    ) as caught:
        load(plan("owner/gone"), TEXT, 0)
    assert caught.value.__cause__ is not None


def test_any_failure_is_told(monkeypatch):
    def load_dataset(*args, **keywords):
        raise RuntimeError("Dataset scripts are no longer supported\nand more")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        FedgrowError, match=r"from the hub: Dataset scripts are no longer supported; check the id"
    ):
        load(plan("owner/script"), TEXT, 0)


def saved(folder):
    """Save a data set of two splits, as ``datasets`` does."""
    features = datasets.Features({"text": datasets.Value("string"), "label": CLASSES})
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    datasets.DatasetDict(train=table, test=table.select([0])).save_to_disk(folder)
    return folder


def test_a_saved_data_set_is_read_by_its_split(tmp_path):
    assert load(plan(saved(tmp_path / "d")), TEXT, 0).labels == ["Sports", "World"]
    assert load(plan(tmp_path / "d", split="test"), TEXT, 0).labels == ["Sports"]
    with pytest.raises(FedgrowError, match=r"no split 'dev'; set data\.split to one of train, test"):
        load(plan(tmp_path / "d", split="dev"), TEXT, 0)


def test_a_saved_table_has_no_splits(tmp_path):
    table = saved(tmp_path / "d") / "train"
    assert load(plan(table), TEXT, 0).texts == ["a", "b"]
    with pytest.raises(FedgrowError, match=r"data\.split is 'test', but this data set has no splits"):
        load(plan(table, split="test"), TEXT, 0)


def test_a_damaged_saved_data_set_is_told(tmp_path):
    for file in (saved(tmp_path / "d") / "train").glob("*.arrow"):
        file.unlink()
    with pytest.raises(
        FedgrowError, match=r"this saved data set cannot be read \(.*check that the folder is whole"
    ):
        load(plan(tmp_path / "d"), TEXT, 0)
