"""A whole federation in one process: sites that come late, leave early, and a coordinator that begins again."""

from time import monotonic

import pytest

from fedgrow.config.site import load_site
from fedgrow.disk.atomic import write_json
from fedgrow.disk.lock import Lock
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import END, EVALUATE, GROW, PLAN, PREPARE, SAVE
from fedgrow.federated.checkpoint import Checkpoints
from fedgrow.sites.join import AFTER_SAVED, Join
from fedgrow.sites.status import status_of
from tests.sites.making import SHAPES
from tests.sites.near import Near

QUORUM = {"mode": "quorum", "deadline": 0.3, "patience": 60.0}


@pytest.fixture
def near(tmp_path, monkeypatch):
    return lambda **changes: Near(tmp_path, monkeypatch, **changes)


def test_a_site_that_was_away_when_the_plan_was_shown_is_shown_it_when_it_comes(near):
    one = near(faults=QUORUM)
    one.grid.away = {"cyd"}

    def before(name, message):
        if message.metadata.message_type == GROW and message.metadata.group_id == "2":
            one.grid.away = set()

    one.before = before
    one.coordinator().carry_out()
    for name in ("ada", "bob"):
        assert one.asked(name) == [PLAN, PREPARE, *[GROW, EVALUATE] * 3, SAVE, END]
    late = one.asked("cyd")
    assert late[0] == PLAN
    assert late.count(PLAN) <= 2  # the first, and the one that is dropped because that phase is over
    assert GROW in late
    assert late[-1] == END
    assert (one.folder / "site-cyd/experiments" / one.at.experiment / "participants/cyd/model").is_dir()


def test_a_site_that_does_not_take_the_plan_up_is_shown_it_again_and_asked_nothing_else(near):
    one = near(faults=QUORUM)
    one.grid.sites["cyd"].approve = lambda plan, digest: one.asked("cyd").count(PLAN) > 3
    one.coordinator().carry_out()
    asked = one.asked("cyd")
    assert asked[:4] == [PLAN] * 4
    assert asked[4] != PLAN
    assert asked[-1] == END


@pytest.mark.parametrize("faults", [{}, QUORUM], ids=["strict", "quorum"])
def test_a_coordinator_that_ended_before_it_kept_a_round_goes_on_with_the_same_sites(near, faults):
    """In quorum mode with others in that round: what is evaluated after it is not what it was."""
    one = near(faults=faults)

    def before(name, message):
        if (name, message.metadata.message_type, message.metadata.group_id) == ("bob", EVALUATE, "1"):
            one.before = lambda name, message: None
            raise KeyboardInterrupt

    one.before = before
    one.grid.away = {"cyd"} if faults else set()
    with pytest.raises(KeyboardInterrupt):
        one.coordinator().carry_out()
    one.grid.away = {"bob"} if faults else set()
    one.coordinator().carry_out()
    assert all(site.refused is None for site in one.sites.values())
    assert one.asked("ada").count(GROW) == 4
    assert one.at.run.state["state"] == "finished"


SOON = {"deadline": 5.0, "patience": 20.0}  # seconds, so that what would wait for sites is seen to


def ending_at(one, kind):
    """Let a coordinator be interrupted as it first asks for something."""

    def before(name, message):
        if message.metadata.message_type == kind:
            one.before = lambda name, message: None
            raise KeyboardInterrupt

    one.before = before
    with pytest.raises(KeyboardInterrupt):
        one.coordinator().carry_out()


def test_the_results_are_there_before_sites_are_waited_for_to_save(near):
    one = near()
    ending_at(one, SAVE)
    assert (one.at.run.path / "operator" / "operator.safetensors").is_file()
    assert "3 rounds" in (one.at.run.path / "report.md").read_text()
    assert one.at.run.state["state"] == "interrupted"
    one.coordinator().carry_out()
    assert one.at.run.state["state"] == "finished"
    assert all(one.asked(name).count(GROW) == 3 and one.asked(name)[-2:] == [SAVE, END] for name in SHAPES)


def test_once_all_have_saved_nobody_is_waited_for(near):
    one = near(faults=SOON)
    ending_at(one, END)
    one.grid.away = {"ada", "bob"}  # they have left
    one.coordinator().carry_out()
    assert one.at.run.state["state"] == "finished"
    assert one.asked("ada")[-1] == SAVE
    assert one.asked("cyd")[-3:] == [SAVE, PLAN, END]  # it is there, and need not wait


def test_a_finished_federation_is_not_begun_again(near):
    one = near(faults=SOON)
    one.coordinator().carry_out()
    asked, one.grid.away = len(one.grid.asked), set(SHAPES)
    again = one.coordinator()
    again.carry_out()
    assert (one.at.run.state["state"], len(one.grid.asked)) == ("finished", asked)
    assert again.control is None  # there was no SuperLink


def test_a_site_that_begins_again_knows_that_it_has_saved(near):
    one = near()
    ending_at(one, SAVE)
    assert not one.site("ada").saved
    ending_at(one, END)
    settings = load_site(one.folder / "ada.yaml")
    told = []
    again = Join(settings, lambda plan, digest: True, told.append, 1.0)
    assert again._over(monotonic() - AFTER_SAVED - 1)
    assert not again._over(monotonic() - 2)
    again.lock.release()
    one.coordinator().carry_out()
    assert not one.site("ada").saved  # it heard that that is over: what it waits for is another


def test_one_coordinator_at_a_time_is_at_work_in_a_folder(near):
    one = near()
    replies = one.at.run.path / "replies"
    replies.mkdir()
    second = one.coordinator()
    with Lock(one.at.run.path), pytest.raises(FedgrowError, match=r"process \d+ on .* is at work in it"):
        second.carry_out()
    assert replies.is_dir()  # of the round that the first is in
    assert not one.grid.asked
    assert not (one.at.folder / "status.json").exists()


def test_a_site_joins_once_at_a_time(near):
    one = near()
    settings = load_site(one.folder / "ada.yaml")
    first = Join(settings, lambda plan, digest: True, print, 1.0)
    secret = first.secret.read_bytes()
    with pytest.raises(FedgrowError, match=r"site-ada: process \d+ on .* is at work in it"):
        Join(settings, lambda plan, digest: True, print, 1.0)
    assert first.secret.read_bytes() == secret
    first.lock.release()


def test_status_tells_a_coordinator_that_ended_without_a_word(near):
    one = near()
    assert status_of(one.at.run.path)["state"] == "not running"  # it was not begun
    sites = {"ada": {"online": True, "last_seen": None}}
    write_json(one.at.folder / "status.json", {"time": "", "state": "running", "sites": sites})
    with Lock(one.at.run.path):
        found = status_of(one.at.run.path)
        assert (found["state"], found["sites"]["ada"]["online"]) == ("running", True)
    found = status_of(one.at.run.path)
    assert (found["state"], found["sites"]["ada"]["online"]) == ("not running", False)


def test_who_was_seen_before_is_not_forgotten_by_the_next_coordinator(near):
    one = near()
    sites = {"ada": {"online": True, "last_seen": "2026-01-01T00:00:00"}}
    write_json(one.at.folder / "status.json", {"time": "", "state": "running", "sites": sites})
    one.coordinator()._status()
    assert status_of(one.at.run.path)["sites"]["ada"]["last_seen"] == "2026-01-01T00:00:00"
    assert status_of(one.at.run.path)["sites"]["bob"]["last_seen"] is None


def test_who_was_left_out_of_a_round_is_told_which_of_its_answers_was_taken_last(near):
    one, said = near(faults=QUORUM), {}

    def before(name, message):
        kind, config = message.metadata.message_type, message.content["config"]
        one.grid.away = {"cyd"} if (kind, config["server-round"]) == (GROW, 2) else set()
        if kind == GROW:
            said[name, config["server-round"]] = config["taken"]

    one.before = before
    one.coordinator().carry_out()
    told = {key: taken for key, taken in said.items() if key[1] == 3}
    assert told == {("ada", 3): 2, ("bob", 3): 2, ("cyd", 3): 1}
    rounds = Checkpoints(one.at.run.path).rounds()
    assert [record.taken for record in rounds] == [[0, 0, 0], [1, 1, 1], [2, 2, 1], [3, 3, 3]]
