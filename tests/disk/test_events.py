"""Events: a line each, appended, and told to whoever listens to this folder."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from fedgrow.disk.events import emit, listen, stop_listening


@pytest.fixture
def heard(tmp_path):
    events = []
    listen(tmp_path, events.append)
    yield events
    stop_listening(tmp_path)


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text("utf-8").splitlines()]


def test_events_are_appended(tmp_path):
    emit(tmp_path, "started", rounds=2)
    emit(tmp_path, "finished", note="für\nalle")
    assert [line["event"] for line in lines(tmp_path)] == ["started", "finished"]
    assert (lines(tmp_path)[0]["rounds"], lines(tmp_path)[1]["note"]) == (2, "für\nalle")


def test_every_event_has_its_time_with_a_zone(tmp_path):
    emit(tmp_path, "started")
    assert datetime.fromisoformat(lines(tmp_path)[0]["time"]).tzinfo is not None


def test_listeners_are_told_what_is_written(tmp_path, heard):
    emit(tmp_path, "round", round=1)
    assert heard == lines(tmp_path)


def test_listeners_of_another_folder_are_not_told(tmp_path, heard):
    (tmp_path / "other").mkdir()
    emit(tmp_path / "other", "round")
    assert heard == []


def test_one_folder_under_two_names_has_the_same_listeners(tmp_path, heard, monkeypatch):
    monkeypatch.chdir(tmp_path)
    emit(Path(), "here")
    assert [event["event"] for event in heard] == ["here"]


def test_who_stopped_listening_is_not_told(tmp_path, heard):
    stop_listening(tmp_path)
    emit(tmp_path, "round")
    assert heard == []
