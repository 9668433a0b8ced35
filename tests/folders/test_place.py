"""Where a grown model may be written; a place where something would be lost is refused before."""

from pathlib import Path

import pytest

from fedgrow.errors import FedgrowError
from fedgrow.folders import place
from fedgrow.folders.place import check_place


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Work in a folder that holds a small model, a grown one, a file, and folders of other things."""
    for name in ("work/small", "work/notes", "work/empty", "work/grown/inner"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("work/small/config.json", "work/notes/mine.txt", "work/file", "work/grown/parity.json"):
        (tmp_path / name).touch()
    (tmp_path / "work" / "link").symlink_to("notes")
    (tmp_path / "parity.json").touch()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize(
    ("out", "small", "words"),
    [
        ("small", "small", "small model's own folder"),
        ("grown", "grown", "small model's own folder"),
        ("grown", "grown/inner", "small model's own folder, or holds it"),
        (".", "small", "working directory"),
        ("../work", "small", "working directory"),
        ("..", None, "working directory, or holds it"),
        ("/", None, "working directory, or holds it"),
        ("notes", "small", "already, and not empty; name a new folder"),
        ("link", "small", "already, and not empty"),
        ("file", "small", "file is a file; name a new folder"),
        ("file/new", "small", "file is a file"),
    ],
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_what_would_be_lost_is_refused(work, out, small, words, overwrite):
    with pytest.raises(FedgrowError, match=f"--out {out}: .*{words}"):
        check_place(Path(out), small=small and Path(small), overwrite=overwrite)


@pytest.mark.parametrize("out", ["new", "deep/new", "empty", "small/new", "grown/inner"])
def test_a_new_or_empty_folder_is_fine(work, out):
    check_place(work / out, small=work / "small")


def test_a_grown_model_is_replaced_on_request_only(work):
    check_place(work / "grown", small=work / "small", overwrite=True)
    with pytest.raises(FedgrowError, match="--overwrite replaces"):
        check_place(work / "grown", small=work / "small")


def test_a_disk_that_is_too_small_is_refused(work, monkeypatch):
    monkeypatch.setattr(place.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    check_place(work / "new", needed=10)
    with pytest.raises(FedgrowError, match="needs 11 bytes, the disk has 10"):
        check_place(work / "new", needed=11)
