"""Every refusal names the source, what was found, and what to do."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fedgrow.data.sources import load
from fedgrow.errors import FedgrowError
from tests.data.making import IMAGE, LANGUAGE, TEXT, plan, png


def refused(source, task=TEXT, extra=(), **settings):
    with pytest.raises(FedgrowError) as caught:
        load(plan(source, **settings), task, 0, extra)
    text = str(caught.value)
    assert text.startswith(f"data.source {source}: ")
    return text


def csv(tmp_path, text):
    (tmp_path / "data.csv").write_text(text)
    return tmp_path / "data.csv"


def parquet(tmp_path, **columns):
    pd.DataFrame(columns).to_parquet(tmp_path / "data.parquet")
    return tmp_path / "data.parquet"


# sources


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text,label,label\na,x,y\n", "column 'label' stands twice"),
        ("text;label\na b;x\nc, d;y\n", "separated by semicolons"),
        ("text;label\na b;x\nc d;y\n", "separated by semicolons"),
        ("text\tlabel\na b\tx\n", "separated by tabs"),
        ("", "it holds no rows"),
    ],
)
def test_a_csv_file_that_is_none(tmp_path, text, said):
    assert said in refused(csv(tmp_path, text))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
def test_text_in_another_encoding(tmp_path, suffix):
    file = tmp_path / f"data{suffix}"
    file.write_bytes("text,label\ncaf\xe9,x\n".encode("latin-1"))
    assert "(byte 0xe9 is not UTF-8); save it in UTF-8" in refused(file)


@pytest.mark.parametrize("name", ["gone.csv", "gone.npz", "gone.parquet"])
def test_missing_file(tmp_path, name):
    assert f"there is no such file ({tmp_path / name})" in refused(tmp_path / name)


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".json", ".csv"])
def test_corrupt_file(tmp_path, suffix):
    file = tmp_path / f"data{suffix}"
    file.write_bytes(b"\x80\x04PK\x03 not a table \xff\x00")
    assert f"cannot be read as {suffix}" in refused(file)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_truncated_file(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".npz":
        np.savez_compressed(whole, x=np.random.default_rng(0).random((9, 8, 8)), y=np.arange(9))
    else:
        pd.DataFrame({"text": ["a"] * 99, "label": ["b"] * 99}).to_parquet(whole)
    (tmp_path / f"part{suffix}").write_bytes(whole.read_bytes()[:-60])
    assert "check that the file is whole" in refused(tmp_path / f"part{suffix}")


def test_npz_never_unpickles(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.array([{"a": 1}], dtype=object), y=[0])
    assert "allow_pickle=False" in refused(tmp_path / "data.npz", IMAGE)


@pytest.mark.parametrize("row", ["a,b,c", '"a,b'])
def test_csv_that_does_not_fit_its_header(tmp_path, row):
    assert "cannot be read as .csv" in refused(csv(tmp_path, f"text,label\n{row}\n"))


def test_jsonl_names_the_line(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"text": "a"}\n\n{"text"\n')
    assert "line 3 is not JSON" in refused(tmp_path / "data.jsonl")


def test_json_that_is_no_table(tmp_path):
    (tmp_path / "data.json").write_text('{"text": ["a"]}')
    assert "a list of objects, not a dict" in refused(tmp_path / "data.json")
    (tmp_path / "data.json").write_text('[{"text": "a"}, 3]')
    assert "record 1 is a int" in refused(tmp_path / "data.json")


def test_unknown_sources(tmp_path):
    assert "choose from bundled:digits" in refused("bundled:numbers")
    assert "it is a folder" in refused(tmp_path)
    (tmp_path / "data.txt").write_text("a")
    for source in (tmp_path / "data.txt", tmp_path / "gone", "csv", "./gone", "~/gone", "https://a.org/b"):
        assert "expected a file ending in .parquet, .csv" in refused(source)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [(".csv", "text,label\n"), (".jsonl", ""), (".json", "[]")],
    ids=["csv", "jsonl", "json"],
)
def test_no_rows(tmp_path, suffix, content):
    (tmp_path / f"data{suffix}").write_text(content)
    assert "it holds no rows" in refused(tmp_path / f"data{suffix}", text="text")


def test_no_rows_in_an_archive(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((0, 8, 8)), y=[])
    assert "it holds no rows" in refused(tmp_path / "data.npz", IMAGE)


def test_a_split_where_there_is_none(tmp_path):
    assert "data.split is 'test'" in refused(csv(tmp_path, "text,label\na,b\n"), split="test")
    assert "data.split is 'test'" in refused("bundled:digits", IMAGE, split="test")


# columns


@pytest.mark.parametrize(
    ("settings", "extra", "wanted"),
    [
        ({"text": "Note"}, (), "data.text: there is no column 'Note'"),
        ({"label": "code"}, (), "data.label: there is no column 'code'"),
        ({}, ("site",), "partition.column: there is no column 'site'"),
    ],
    ids=["text", "label", "extra"],
)
def test_missing_column(tmp_path, settings, extra, wanted):
    text = refused(csv(tmp_path, "text,label\na,b\n"), extra=extra, **settings)
    assert wanted in text
    assert "the source has 'text', 'label'" in text


def test_text_is_guessed_only_where_one_name_is_common(tmp_path):
    assert load(plan(csv(tmp_path, "id,Sentence,label\n1,a,b\n")), TEXT, 0).texts == ["a"]
    assert "'text', 'review' could each be it" in refused(csv(tmp_path, "text,review,label\na,b,c\n"))
    text = refused(csv(tmp_path, "body,label\na,b\n"))
    assert "no column has a common text name; set data.text to one of 'body', 'label'" in text


def test_archive_keys_are_guessed_only_where_one_is_common(tmp_path):
    images = np.zeros((2, 8, 8))
    np.savez(tmp_path / "data.npz", x=images, images=images, y=[0, 1])
    text = refused(tmp_path / "data.npz", IMAGE)
    assert "'x', 'images' could each be it; set data.image to one of 'x', 'images', 'y'" in text


def test_many_columns_are_not_all_listed(tmp_path):
    names = ",".join(f"c{i}" for i in range(30))
    assert "'c19' and 10 more" in refused(csv(tmp_path, f"{names}\n"))


def test_columns_of_different_length(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 8, 8)), y=[0, 1, 2])
    assert "'x' has 2 rows, 'y' has 3 rows" in refused(tmp_path / "data.npz", IMAGE)


# texts and labels


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        (
            {"text": ["a", None, None], "label": ["0", "1", "2"]},
            "'text' has null texts: 2 of 3 rows, first row 1",
        ),
        (
            {"text": ["a", "b", " \n"], "label": ["0", "1", "2"]},
            "'text' has empty texts: 1 of 3 rows, first row 2",
        ),
        (
            {"text": ["a", "b", "c"], "label": [0, None, 1]},
            "'label' has null labels: 1 of 3 rows, first row 1",
        ),
        (
            {"text": ["a", "b", "c"], "label": ["", "b", ""]},
            "'label' has empty labels: 2 of 3 rows, first row 0",
        ),
        ({"text": [1, 2, 3], "label": [0, 1, 2]}, "'text' holds int at row 0, not text"),
        (
            {"text": ["a", "b"], "label": [[0], [1]]},
            "'label' holds a ndarray at row 0; expected a single value",
        ),
    ],
    ids=["null text", "blank text", "null label", "blank label", "numbers", "lists"],
)
def test_bad_rows(tmp_path, columns, wanted):
    assert wanted in refused(parquet(tmp_path, **columns))


def test_empty_csv_values_are_null(tmp_path):
    assert "null texts: 1 of 2 rows, first row 1" in refused(csv(tmp_path, "text,label\na,b\n,c\n"))
    assert "null labels: 1 of 2 rows, first row 0" in refused(csv(tmp_path, "text,label\na\nb,c\n"))


def test_null_in_the_extra_column(tmp_path):
    source = parquet(tmp_path, text=["a", "b"], site=["x", None])
    assert "'site' has null values: 1 of 2 rows, first row 1" in refused(source, LANGUAGE, ("site",))


def test_label_outside_the_closed_list(tmp_path):
    text = refused(csv(tmp_path, "text,label\na,yes\nb,maybe\nc,no\nd,hm\n"), labels=("yes", "no"))
    assert "label 'maybe' (row 1; 2 such rows in all), not in data.labels: 'yes', 'no'" in text


def test_one_hot_labels(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 8, 8)), y=np.eye(2))
    assert "'y' has shape (2, 2); expected one value a row" in refused(tmp_path / "data.npz", IMAGE)


def test_images_are_no_texts():
    assert "no column has a common text name" in refused("bundled:digits", TEXT)


# images


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.nan, "has images that are not finite (NaN or infinity): 1 of 3 rows, first row 1"),
        (-np.inf, "has images that are not finite"),
        (1e300, "has images that are not finite"),
        (1.5, "has pixels outside 0..1 (floats) or 0..255 (integers): 1 of 3 rows, first row 1"),
        (-0.1, "has pixels outside 0..1"),
    ],
)
def test_bad_pixels(tmp_path, value, wanted):
    pixels = np.zeros((3, 4, 4))
    pixels[1, 2, 3] = value
    np.savez(tmp_path / "data.npz", x=pixels, y=[0, 1, 2])
    assert wanted in refused(tmp_path / "data.npz", IMAGE)


@pytest.mark.parametrize(
    ("pixels", "wanted"),
    [
        (np.zeros((3, 16)), "shape (3, 16)"),
        (np.zeros((3, 2, 5, 5)), "shape (3, 2, 5, 5)"),
        (np.zeros((3, 0, 4)), "shape (3, 1, 0, 4)"),
        (np.full((3, 4, 4), "a"), "holds <U1, not pixels"),
        (np.full((3, 4, 4), 256), "pixels outside 0..1 (floats) or 0..255"),
        (np.zeros(3, dtype=int), "holds int at row 0; expected an image"),
    ],
    ids=["flat", "channels", "no pixels", "strings", "16 bits", "numbers"],
)
def test_arrays_that_are_no_images(tmp_path, pixels, wanted):
    np.savez(tmp_path / "data.npz", x=pixels, y=[0, 1, 2])
    assert wanted in refused(tmp_path / "data.npz", IMAGE)


@pytest.mark.parametrize(
    ("second", "wanted"),
    [
        (None, "'image' has null images: 1 of 2 rows, first row 1"),
        (b"not an image", "the image at row 1 cannot be read"),
        (png(np.zeros((4, 4), np.uint8))[:-30], "the image at row 1 cannot be read"),
        (png(np.zeros((4, 4), np.uint16)), "more than 8 bits"),
        (png(np.zeros((5, 4), np.uint8)), "the image at row 1 is (5, 4), the first (4, 4)"),
    ],
    ids=["null", "garbage", "truncated", "16 bits", "size"],
)
def test_encoded_images(tmp_path, second, wanted):
    source = parquet(tmp_path, image=[png(np.zeros((4, 4), np.uint8)), second], label=[0, 1])
    assert wanted in refused(source, IMAGE)


def test_images_by_path_only(tmp_path):
    (tmp_path / "data.json").write_text('[{"image": "a.png", "label": 0}]')
    assert "holds str at row 0; expected an image" in refused(tmp_path / "data.json", IMAGE)
    (tmp_path / "data.json").write_text('[{"image": {"path": "a.png", "bytes": null}, "label": 0}]')
    assert "holds NoneType at row 0; expected an image" in refused(tmp_path / "data.json", IMAGE)


def test_ragged_lists(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps([{"image": [[1, 2], [3]], "label": 0}]))
    assert "the image at row 0 cannot be read" in refused(tmp_path / "data.json", IMAGE)


def test_a_decompression_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    source = parquet(tmp_path, image=[png(np.zeros((4, 4), np.uint8))], label=[0])
    assert re.search(r"row 0 cannot be read .*bomb", refused(source, IMAGE))
