"""Writes are whole or not there."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fedgrow.disk import atomic


def listing(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.rglob("*"))


def test_json_comes_back(tmp_path):
    value = {"b": [1, 2.5, None], "a": "ä🐦"}
    atomic.write_json(tmp_path / "new" / "value.json", value)
    assert atomic.read_json(tmp_path / "new" / "value.json") == value


def test_a_file_is_replaced_and_nothing_is_left_beside(tmp_path):
    for text in ("long and old", "new"):
        atomic.write_text(tmp_path / "file", text)
    assert (tmp_path / "file").read_text() == "new"
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_json_cannot_hold_leaves_the_old_file(tmp_path, value):
    atomic.write_json(tmp_path / "value.json", {"old": 1})
    with pytest.raises((ValueError, TypeError)):
        atomic.write_json(tmp_path / "value.json", {"new": value})
    assert json.loads((tmp_path / "value.json").read_text()) == {"old": 1}


def test_a_broken_write_leaves_the_old_file(tmp_path, monkeypatch):
    atomic.write_text(tmp_path / "file", "old")
    monkeypatch.setattr(atomic.os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        atomic.write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def broken(*_):
    raise OSError("disk full")


@pytest.mark.parametrize("tensors", [{}, {"b": torch.arange(3.0), "a": torch.eye(2, dtype=torch.float64).T}])
def test_tensors_come_back_sorted(tmp_path, tensors):
    atomic.write_tensors(tmp_path / "t.safetensors", tensors)
    read = atomic.read_tensors(tmp_path / "t.safetensors")
    assert list(read) == sorted(tensors)
    assert all(torch.equal(read[n], t) and read[n].dtype == t.dtype for n, t in tensors.items())


def test_a_differentiated_tensor_is_written_as_its_values(tmp_path):
    atomic.write_tensors(tmp_path / "t.safetensors", {"a": torch.ones(2, requires_grad=True)})
    assert not atomic.read_tensors(tmp_path / "t.safetensors")["a"].requires_grad


def test_arrays_come_back_sorted(tmp_path):
    arrays = {"b": np.arange(6.0).reshape(2, 3).T, "a": np.array(2, dtype=np.int64)}
    atomic.write_arrays(tmp_path / "a.safetensors", arrays)
    read = atomic.read_arrays(tmp_path / "a.safetensors")
    assert list(read) == ["a", "b"]
    assert all((read[n] == a).all() and read[n].dtype == a.dtype for n, a in arrays.items())


def filled(folder: Path) -> None:
    (folder / "one").write_text("1")


def failing(folder: Path) -> None:
    filled(folder)
    raise RuntimeError("no more")


def test_a_folder_is_filled(tmp_path):
    atomic.write_folder(tmp_path / "deep" / "folder", filled)
    assert listing(tmp_path / "deep") == ["folder", "one"]


def test_a_fill_that_fails_leaves_no_folder(tmp_path):
    with pytest.raises(RuntimeError, match="no more"):
        atomic.write_folder(tmp_path / "folder", failing)
    assert not (tmp_path / "folder").exists()


def test_a_fill_that_fails_leaves_the_old_folder(tmp_path):
    atomic.write_folder(tmp_path / "folder", lambda f: (f / "old").write_text("0"))
    with pytest.raises(RuntimeError, match="no more"):
        atomic.write_folder(tmp_path / "folder", failing)
    assert listing(tmp_path / "folder") == ["old"]


def test_what_a_broken_fill_left_is_cleared_by_the_next(tmp_path):
    with pytest.raises(RuntimeError, match="no more"):
        atomic.write_folder(tmp_path / "folder", failing)
    atomic.write_folder(tmp_path / "folder", lambda f: (f / "two").write_text("2"))
    assert listing(tmp_path) == ["folder", "two"]


@pytest.fixture(params=["folder", "mount point", "bind mount"])
def place(tmp_path, monkeypatch, request):
    """Return the place of a folder, which may be there as a mount point that cannot be moved."""
    (tmp_path / "up per").mkdir()
    place, move = tmp_path / "up per" / "folder", Path.replace

    def replace(source, target):
        if place in (source, target):
            raise OSError("it is mounted")
        return move(source, target)

    if request.param != "folder":
        place.mkdir()
        if request.param == "mount point":
            monkeypatch.setattr(atomic.os.path, "ismount", lambda path: path == place)
        else:
            escaped = str(place).replace(" ", "\\040")
            (tmp_path / "mounts").write_text(f"1 0 8:1 / / rw - ext4\n2 1 8:1 /data {escaped} rw - ext4\n")
            monkeypatch.setattr(atomic, "MOUNTS", tmp_path / "mounts")
        monkeypatch.setattr(Path, "replace", replace)
    return place


def test_an_older_folder_is_replaced(place):
    atomic.write_folder(place, lambda f: (f / "old").write_text("0"))
    atomic.write_folder(place, filled)
    assert listing(place.parent) == ["folder", "one"]


@pytest.mark.parametrize("failing_move", [1, 2])
def test_a_move_that_fails_is_taken_back(place, monkeypatch, failing_move):
    atomic.write_folder(place, lambda f: (f / "old").write_text("0"))
    move, moved = Path.replace, []

    def fail(source, target):
        moved.append(source)
        if len(moved) == failing_move:
            raise OSError("busy")
        return move(source, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="busy"):
        atomic.write_folder(place, filled)
    assert listing(place.parent) == ["folder", "old"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path, there):
    if there:
        (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    atomic.write_folder(tmp_path / "link", filled)
    assert (tmp_path / "link").is_symlink()
    assert listing(tmp_path) == ["elsewhere", "link", "one"]
