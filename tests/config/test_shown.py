"""A plan from the network is read in little time, and nothing in it is looked for on this machine."""

import json
import time

import pytest

from fedgrow.config.shown import LONGEST, read_shown
from fedgrow.errors import FedgrowError
from tests.sites.making import PLAN

ALIASES = "a: &a [x, x]\nb: &b [*a, *a]"


def text(**changes) -> str:
    return json.dumps(PLAN | changes)


def test_a_plan_is_read():
    assert read_shown(text()).names == ["ada", "bob", "cyd"]


BAD = {
    "YAML": (ALIASES, "the coordinator's plan is no JSON"),
    "too long": (text(name="x" * LONGEST), "500,495 characters; at most 500,000 are read"),
    "nested": ("[" * 100_000, "nested too deeply"),
    "nested a little less": ('{"name": ' + "[" * 900 + "]" * 900 + "}", "nested too deeply|is not valid"),
    "an escape": (text(metrics=["accuracy\x1b[2K"]), r"holds 'accuracy\\x1b\[2K'; expected characters"),
    "a line break": (text(baselines=["a\nb"]), "expected characters that a screen shows"),
    "an escape in a key": (text(**{"\x1b[2K": 1}), "expected characters that a screen shows"),
    "half a character": (text(name="\ud800"), "expected characters that a screen shows"),
    "a list": ("[]", "is not valid"),
    "not whole": ("{}", "task: Field required"),
}


@pytest.mark.parametrize(("shown", "why"), BAD.values(), ids=BAD)
def test_what_is_no_plan_is_refused(shown, why):
    with pytest.raises(FedgrowError, match=why):
        read_shown(shown)


def test_the_longest_plan_takes_no_long_time():
    people = [{"name": f"{number}"} for number in range(LONGEST // 20)]
    began = time.process_time()
    with pytest.raises(FedgrowError, match="used twice"):
        read_shown(text(participants=[*people, people[-1]]))
    assert time.process_time() - began < 5


def test_nothing_in_it_is_looked_for_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    people = [{"name": "ada", "model": "model", "data": {"source": "~nosuchuser/x"}}]
    assert read_shown(text(participants=people)).participants[0].model == "model"
