"""A whole federation in one process: sites that come late, leave early, and a coordinator that begins again."""

import pytest

from fedgrow.exchange.contract import END, EVALUATE, GROW, PLAN, PREPARE, SAVE
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
