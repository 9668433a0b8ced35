"""What a site's limits hold, before and after the approval, and over time."""

import json
import time

import pytest

from fedgrow.disk.atomic import read_json
from fedgrow.exchange.packing import unpacked
from fedgrow.exchange.records import from_record
from fedgrow.exchange.wire import to_bytes
from fedgrow.federated.client_app import SiteError
from fedgrow.sites.ledger import verify
from fedgrow.sites.site import Site
from tests.sites.asking import message, shown, site, start


def approve_long_ago(folder):
    path = folder / "site-ada" / "experiments" / "tiny-1" / "approved.json"
    path.write_text(json.dumps(read_json(path) | {"time": 0}))


def test_limits_hold_after_the_approval_too(folder):
    one = site(folder)
    one.answer(shown(folder))
    approve_long_ago(folder)
    with pytest.raises(SiteError):
        one.answer(message("train.prepare"))
    assert "limits.hours allows 168" in str(one.refused)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_plan_is_not_begun_anew_under_another_name(folder, pinned):
    digest = shown(folder).content["config"]["digest"]
    one = site(folder, **({"plan": digest} if pinned else {}))
    one.answer(shown(folder))
    with pytest.raises(SiteError):
        one.answer(shown(folder, run=8, experiment="tiny-2"))
    assert "tiny-2: this plan was approved as tiny-1, once" in str(one.refused)
    assert [path.name for path in (folder / "site-ada" / "experiments").iterdir()] == ["tiny-1"]


def test_rounds_are_counted_over_all_experiments(folder):
    one = site(folder, limits={"rounds": 4})
    one.answer(shown(folder))
    one.answer(message("train.prepare"))
    for round_ in (1, 2, 2):
        one.answer(message("train.grow", config={"server-round": round_}, arrays=start(folder)))
    with pytest.raises(SiteError):
        one.answer(shown(folder, run=8, experiment="tiny-2", seed=1))
    assert "3 rounds; limits.rounds allows 4, of which 2 are used" in str(one.refused)


def test_experiments_at_a_time_share_the_rounds(folder):
    one = site(folder, limits={"rounds": 3})
    for run, name in ((7, "tiny-1"), (8, "tiny-2")):
        one.answer(shown(folder, run=run, experiment=name, seed=run))
        one.answer(message("train.prepare", run=run))
    for run, round_ in ((7, 1), (8, 1), (8, 2)):
        one.answer(message("train.grow", run, {"server-round": round_}, start(folder, seed=run)))
    with pytest.raises(SiteError):
        one.answer(message("train.grow", 7, {"server-round": 2}, start(folder, seed=7)))
    assert "limits.rounds: 3 rounds were taken part in" in str(one.refused)


def test_hours_are_counted_from_the_first_approval(folder):
    one = site(folder)
    one.answer(shown(folder))
    approve_long_ago(folder)
    with pytest.raises(SiteError):
        one.answer(shown(folder, run=8, experiment="tiny-2", seed=1))
    assert "limits.hours allows 168" in str(one.refused)


def test_a_round_is_answered_again_with_the_same_arrays_only(folder):
    one = site(folder)
    one.answer(shown(folder))
    one.answer(message("train.prepare"))
    one.answer(message("train.grow", config={"server-round": 1}, arrays=start(folder)))
    config = {"server-round": 2}
    first = one.answer(message("train.grow", config=config, arrays=start(folder)))
    two = site(folder)  # begun again
    two.answer(shown(folder, run=8))
    again = two.answer(message("train.grow", 8, config, start(folder)))
    arrays, same = (from_record(unpacked(answer.content)["arrays"]) for answer in (first, again))
    assert arrays.keys() == same.keys() == start(folder).keys()
    assert all(array.equal(same[name]) for name, array in arrays.items())
    with pytest.raises(SiteError):
        two.answer(message("train.grow", 8, config, start(folder, 0.5)))
    assert "round 2 was already answered for different arrays" in str(two.refused)


@pytest.mark.parametrize(
    ("changes", "evaluated"),
    [({}, [0.0, 0.1, 0.0]), ({"faults": {"mode": "quorum"}}, [0.0, 0.1, 0.1, 0.2, 0.0])],
    ids=["strict", "quorum"],
)
def test_few_sets_of_arrays_are_evaluated_for_a_round(folder, changes, evaluated):
    """A coordinator that ended before it kept a round may come to something else, though not often."""
    one = site(folder)
    one.answer(shown(folder, **changes))
    one.answer(message("train.prepare"))
    one.answer(message("train.grow", config={"server-round": 1}, arrays=start(folder)))
    for more in evaluated:
        one.answer(message("evaluate.grow", config={"server-round": 1}, arrays=start(folder, more)))
    with pytest.raises(SiteError):
        one.answer(message("evaluate.grow", config={"server-round": 1}, arrays=start(folder, 0.3)))
    assert "round 1 was already answered for different arrays" in str(one.refused)


@pytest.mark.parametrize("round_", [-1, 0, 4])
def test_a_round_that_is_not_the_plans_is_refused(folder, round_):
    one = site(folder)
    one.answer(shown(folder, faults={"mode": "quorum"}))
    one.answer(message("train.prepare"))
    with pytest.raises(SiteError):
        one.answer(message("train.grow", config={"server-round": round_}, arrays=start(folder)))
    assert f"round {round_} is none of the plan's: there are 3" in str(one.refused)


def test_a_message_beyond_the_agreed_bytes_does_not_leave(folder):
    one = site(folder)
    most = len(to_bytes(one.answer(shown(folder)))) + 90
    two = site(folder, limits={"megabytes": most / 1e6})
    with pytest.raises(SiteError):
        two.answer(message("train.prepare"))
    assert "limits.megabytes" in str(two.refused)
    assert len(verify(folder / "site-ada" / "experiments" / "tiny-1" / "ledger.jsonl")) == 1
    with pytest.raises(SiteError):  # nor in another experiment
        site(folder).answer(shown(folder, run=8, experiment="tiny-2", seed=1))
    assert not (folder / "site-ada" / "experiments" / "tiny-2" / "ledger.jsonl").exists()


def at(monkeypatch, hours: float):
    """Let it be so many hours after now, by the clock that limits go by."""
    now = time.time() + hours * 3600
    monkeypatch.setattr("fedgrow.sites.limits.time.time", lambda: now)


TRAINED = {
    "all finite": {},
    "none finite": {"training": {"batch_size": 8, "model_learning_rate": 1e30, "not_finite": "skip"}},
}


@pytest.mark.parametrize("changes", TRAINED.values(), ids=TRAINED)
def test_a_training_ends_when_the_time_is_over(folder, monkeypatch, changes):
    one = site(folder)
    one.answer(shown(folder, prepare={"steps": 40, "learning_rate": 1e30 if changes else 1e-3}, **changes))
    steps = []

    def after_five(*_):
        steps.append(1)
        if len(steps) == 5:
            at(monkeypatch, 169)
        return False

    monkeypatch.setattr(one, "_watch", lambda *step: after_five() or Site._watch(one, *step))
    with pytest.raises(SiteError):
        one.answer(message("train.prepare"))
    assert len(steps) == 5
    assert "limits.hours allows 168" in str(one.refused)


def test_a_model_is_saved_though_the_time_is_over(folder, monkeypatch):
    one = site(folder)
    one.answer(shown(folder))
    one.answer(message("train.prepare"))
    for round_ in (1, 2, 3):
        one.answer(message("train.grow", config={"server-round": round_}, arrays=start(folder)))
    at(monkeypatch, 169)
    two = site(folder)  # begun again, and shown the plan in another run
    two.answer(shown(folder, run=8))
    with pytest.raises(SiteError):
        two.answer(message("evaluate.grow", 8, {"server-round": 3}, start(folder)))
    two.answer(message("query.save", 8, {"server-round": 3}, start(folder)))
    two.answer(message("query.end", 8))
    assert two.ended


def test_without_time_nothing_is_fine_tuned(folder, monkeypatch):
    one = site(folder)
    one.answer(shown(folder, schedule={"rounds": 1, "steps": 2, "finetune_steps": 9}))
    one.answer(message("train.prepare"))
    one.answer(message("train.grow", config={"server-round": 1}, arrays=start(folder)))
    at(monkeypatch, 169)
    with pytest.raises(SiteError):
        one.answer(message("query.save", config={"server-round": 1}, arrays=start(folder)))
    assert "limits.hours allows 168" in str(one.refused)


def test_a_folder_that_was_never_whole_is_no_approval(folder):
    part = folder / "site-ada" / "experiments" / ".tiny-1.part"
    part.mkdir(parents=True)
    digest = shown(folder).content["config"]["digest"]
    (part / "approved.json").write_text(json.dumps({"digest": digest, "time": time.time(), "brings": {}}))
    one = site(folder)
    one.answer(shown(folder))
    assert one.refused is None


def test_a_round_asked_for_again_with_other_answers_taken_is_refused(folder):
    """Else one round's change could be had with several roundings."""
    one = site(folder, limits={"rounds": 4})
    one.answer(shown(folder))
    one.answer(message("train.prepare"))
    for round_, taken in ((1, 0), (2, 1), (2, 1)):
        said = {"server-round": round_, "taken": taken}
        one.answer(message("train.grow", config=said, arrays=start(folder)))
    with pytest.raises(SiteError):
        one.answer(message("train.grow", config={"server-round": 2, "taken": 0}, arrays=start(folder)))
    assert "round 2 was already answered for different arrays" in str(one.refused)
