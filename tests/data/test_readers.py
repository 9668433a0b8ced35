"""Every kind of local and bundled source, from a file to examples."""

import json

import numpy as np
import pandas as pd
import pytest

from fedgrow.data.sources import load
from tests.data.making import IMAGE, LANGUAGE, TEXT, plan, png

RECORDS = [{"text": "a cat", "label": 1, "site": "x"}, {"text": "a dog", "label": 0, "site": "y"}]
GREY = np.arange(2 * 5 * 6, dtype=np.uint8).reshape(2, 5, 6) * 4


def write(path):
    """Write RECORDS in the format of the path's suffix."""
    frame = pd.DataFrame(RECORDS)
    match path.suffix.lower():
        case ".parquet":
            frame.to_parquet(path)
        case ".csv":
            frame.to_csv(path, index=False)
        case ".jsonl":
            path.write_text("".join(json.dumps(r) + "\n\n" for r in RECORDS))
        case ".json":
            path.write_text(json.dumps(RECORDS))
        case ".npz":
            np.savez(
                path,
                **{name: frame[name].to_numpy().astype("U8" if name != "label" else int) for name in frame},
            )
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".json", ".npz", ".CSV"])
def test_texts_and_labels(tmp_path, suffix):
    found = load(plan(write(tmp_path / f"data{suffix}")), TEXT, 0, ("site",))
    assert found.texts == ["a cat", "a dog"]
    assert found.labels == ["1", "0"]
    assert found.columns == {"site": ["x", "y"]}


def test_language_modelling_needs_no_labels(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("review\nfine\n")
    assert load(plan(file), LANGUAGE, 0).labels is None


def test_csv_values_stay_as_written(tmp_path):
    file = tmp_path / "data.csv"
    file.write_bytes('\ufefftext,label\n"NA, or\nnull",007\nnan,1.0\n'.encode())
    found = load(plan(file), TEXT, 0)
    assert found.texts == ["NA, or\nnull", "nan"]
    assert found.labels == ["007", "1.0"]


def test_whole_floats_are_labels_without_a_point(tmp_path):
    pd.DataFrame({"text": ["a", "b"], "label": [1.0, 2.5]}).to_parquet(tmp_path / "data.parquet")
    assert load(plan(tmp_path / "data.parquet"), TEXT, 0).labels == ["1", "2.5"]


def test_parquet_index_is_a_column(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b"]}, index=pd.Index(["p", "q"], name="label"))
    frame.to_parquet(tmp_path / "data.parquet")
    assert load(plan(tmp_path / "data.parquet"), TEXT, 0).labels == ["p", "q"]


def test_bundled_digits():
    found = load(plan("bundled:digits"), IMAGE, 0)
    assert found.images.shape == (1797, 1, 8, 8)
    assert (found.images.dtype, found.images.min(), found.images.max()) == (np.float32, 0, 1)
    assert set(found.labels) == set("0123456789")


@pytest.mark.parametrize(
    ("pixels", "shape"),
    [
        (GREY, (2, 1, 5, 6)),
        (GREY[..., None], (2, 1, 5, 6)),
        (np.repeat(GREY[..., None], 3, 3), (2, 3, 5, 6)),
        (np.repeat(GREY[:, None], 3, 1), (2, 3, 5, 6)),
    ],
    ids=["grey", "grey, channels last", "colour, channels last", "colour, channels first"],
)
def test_npz_images(tmp_path, pixels, shape):
    np.savez(tmp_path / "data.npz", images=pixels, labels=np.array([[3], [5]]))
    found = load(plan(tmp_path / "data.npz"), IMAGE, 0)
    assert found.images.shape == shape
    assert found.labels == ["3", "5"]
    for channel in range(shape[1]):
        np.testing.assert_array_equal(found.images[:, channel], GREY.astype(np.float32) / 255)


def test_npz_floats_stay(tmp_path):
    np.savez(tmp_path / "data.npz", x=GREY / 255, y=[0, 1])
    np.testing.assert_array_equal(
        load(plan(tmp_path / "data.npz"), IMAGE, 0).images[:, 0], (GREY / 255).astype(np.float32)
    )


@pytest.mark.parametrize("keys", ["x_{}", "{}_images", "X_{}"])
def test_npz_arrays_by_split(tmp_path, keys):
    parts = {"train": GREY, "test": GREY[:1]}
    arrays = {keys.format(s): pixels for s, pixels in parts.items()}
    arrays |= {f"y_{s}": np.arange(len(pixels)) for s, pixels in parts.items()}
    np.savez(tmp_path / "data.npz", **arrays)
    assert len(load(plan(tmp_path / "data.npz"), IMAGE, 0)) == 2
    assert len(load(plan(tmp_path / "data.npz", split="test"), IMAGE, 0)) == 1


def test_npz_named_keys(tmp_path):
    np.savez(tmp_path / "data.npz", x=GREY[:1], scans=GREY, y=[0], findings=["ill", "well"])
    found = load(plan(tmp_path / "data.npz", image="scans", label="findings"), IMAGE, 0)
    assert found.labels == ["ill", "well"]


@pytest.mark.parametrize(
    "wrap", [lambda b: b, lambda b: {"bytes": b, "path": None}], ids=["bytes", "dictionary"]
)
def test_encoded_images_in_a_table(tmp_path, wrap):
    pd.DataFrame({"image": [wrap(png(g)) for g in GREY], "label": ["a", "b"]}).to_parquet(
        tmp_path / "d.parquet"
    )
    found = load(plan(tmp_path / "d.parquet"), IMAGE, 0)
    np.testing.assert_array_equal(found.images[:, 0], GREY.astype(np.float32) / 255)


def test_grey_and_colour_mixed_become_colour(tmp_path):
    colour = np.repeat(GREY[1][..., None], 3, 2)
    pd.DataFrame({"image": [png(GREY[0]), png(colour)], "label": [0, 1]}).to_parquet(tmp_path / "d.parquet")
    found = load(plan(tmp_path / "d.parquet"), IMAGE, 0)
    assert found.images.shape == (2, 3, 5, 6)
    np.testing.assert_array_equal(found.images[0, 2], GREY[0].astype(np.float32) / 255)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_nested_lists_of_pixels(tmp_path, suffix):
    records = [{"image": g.tolist(), "label": i} for i, g in enumerate(GREY)]
    if suffix == ".parquet":
        pd.DataFrame(records).to_parquet(tmp_path / "data.parquet")
    else:
        (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, records)))
    found = load(plan(tmp_path / f"data{suffix}"), IMAGE, 0)
    np.testing.assert_array_equal(found.images[:, 0], GREY.astype(np.float32) / 255)


def test_lists_are_scaled_alike(tmp_path):
    """An image of whole zeros and ones among floats is not taken for integers."""
    (tmp_path / "data.json").write_text(
        '[{"image": [[0, 1]], "label": 0}, {"image": [[0.5, 1.0]], "label": 1}]'
    )
    assert load(plan(tmp_path / "data.json"), IMAGE, 0).images.ravel().tolist() == [0, 1, 0.5, 1]
