"""A coordinator that asks for more than the plan has: every way to get two answers for one, or one uncounted, is refused."""

import pytest
import torch
from flwr.app import Array, ArrayRecord

from fedgrow.approaches.schedule import taking_part
from fedgrow.config.load import load_plan
from fedgrow.disk.atomic import read_json
from fedgrow.exchange.records import from_record, to_record
from fedgrow.federated.client_app import SiteError
from fedgrow.federated.resolve import resolve
from fedgrow.sites.ledger import verify
from fedgrow.sites.limits import Refused
from tests.sites.asking import message, shown, site, start

QUORUM = {"faults": {"mode": "quorum"}}
PHASES = {"schedule": {"kind": "two-phase", "rounds": 3, "steps": 2, "local_steps": 2}}


def begun(folder, limits=None, **changes):
    """Return a site that approved a plan and prepared its model."""
    one = site(folder, **({"limits": limits} if limits else {}))
    one.answer(shown(folder, **changes))
    one.answer(message("train.prepare"))
    return one


def ask(one, folder, kind, round_, more=0.0):
    return one.answer(message(kind, config={"server-round": round_}, arrays=start(folder, more)))


def refused(one, folder, kind, round_, more=0.0) -> str:
    with pytest.raises(SiteError) as error:
        ask(one, folder, kind, round_, more)
    assert str(error.value).startswith("see ")
    return str(one.refused) if one.refused else (folder / "site-ada" / "site.log").read_text()


# one answer a round


def test_in_quorum_mode_rounds_only_go_forward(folder):
    """Else a round could be had from several private states, and with several roundings."""
    one = begun(folder, **QUORUM)
    ask(one, folder, "train.grow", 3)
    assert "round 1 was asked for after round 3" in refused(one, folder, "train.grow", 1)
    assert "round 2 was asked for after round 3" in refused(one, folder, "evaluate.grow", 2)
    ask(one, folder, "train.grow", 3)


def test_in_quorum_mode_a_round_is_not_gone_back_to(folder):
    one = begun(folder, **QUORUM)
    for round_ in (1, 2):
        ask(one, folder, "train.grow", round_)
    assert "round 1 was asked for after round 2" in refused(one, folder, "train.grow", 1)


def test_in_strict_mode_a_round_that_is_gone_back_to_gives_what_it_gave(folder):
    one = begun(folder)
    first = ask(one, folder, "train.grow", 1)
    ask(one, folder, "train.grow", 2, 0.1)
    again = ask(site(folder), folder, "train.grow", 1)
    assert first.content["arrays"].object_id == again.content["arrays"].object_id


def test_local_ligo_is_trained_once_before_the_first_round(folder):
    one = begun(folder, **PHASES)
    ask(one, folder, "train.local", 0)
    assert "train.local: round 1 is none of the plan's: it has 0 of 3" in refused(
        one, folder, "train.local", 1
    )


def test_a_joint_plan_trains_nothing_before_its_rounds(folder):
    one = begun(folder)
    assert "train.local: round 0 is none of the plan's: it has none" in refused(one, folder, "train.local", 0)


def test_the_model_is_saved_after_the_last_round_only(folder):
    one = begun(folder)
    ask(one, folder, "train.grow", 1)
    assert "query.save: round 1 is none of the plan's: it has 3 of 3" in refused(one, folder, "query.save", 1)
    assert not one.saved


def test_who_is_not_drawn_for_a_round_does_not_train_in_it(folder):
    one = begun(folder, **{"schedule.participation": 0.34})
    plan, drawn = resolve(load_plan(folder / "plan.yaml", ["schedule.participation=0.34"])), []
    for round_ in (1, 2, 3):
        one.refused = None
        try:
            ask(one, folder, "train.grow", round_)
            drawn.append(round_)
        except SiteError:
            assert f"round {round_} is none of the plan's: it has" in str(one.refused)
    assert drawn == [round_ for round_ in (1, 2, 3) if 0 in taking_part(plan, round_)]
    assert len(drawn) < 3


# what is evaluated


def test_what_was_not_trained_is_not_evaluated(folder):
    one = begun(folder)
    assert "evaluate.grow: round 1 was not trained here" in refused(one, folder, "evaluate.grow", 1)
    assert "round 0 is none of the plan's" in refused(one, folder, "evaluate.grow", 0)


def test_what_goes_along_is_evaluated_by_itself_after_the_last_round_only(folder):
    one = begun(folder, **{"schedule.evaluation": "along"})
    ask(one, folder, "train.grow", 1)
    assert "it has 3 of 3" in refused(one, folder, "evaluate.grow", 1)


def test_evaluations_count_as_rounds_over_all_experiments(folder):
    one = begun(folder, {"rounds": 3}, **QUORUM)
    for round_ in (1, 2):
        ask(one, folder, "evaluate.grow", round_)
    with pytest.raises(SiteError):
        one.answer(shown(folder, run=8, experiment="tiny-2", seed=1))
    assert "limits.rounds allows 3, of which 2 are used" in str(one.refused)


def test_evaluations_of_experiments_at_a_time_share_the_rounds(folder):
    one = site(folder, limits={"rounds": 3})
    for run in (7, 8):
        one.answer(shown(folder, run=run, experiment=f"tiny-{run}", seed=run, **QUORUM))
        one.answer(message("train.prepare", run=run))
    for run, round_ in ((7, 1), (8, 1), (8, 2)):
        one.answer(message("evaluate.grow", run, {"server-round": round_}, start(folder, seed=run)))
    with pytest.raises(SiteError):
        one.answer(message("evaluate.grow", 7, {"server-round": 2}, start(folder, seed=7)))
    assert "limits.rounds: 3 rounds were taken part in" in str(one.refused)


# what is given


def changed(folder, how) -> ArrayRecord:
    arrays = from_record(start(folder))
    name = next(iter(arrays))
    how(arrays, name)
    return to_record(arrays)


def with_residual(arrays, name):
    arrays["residual/value.weight/U"] = torch.zeros(3, 24, 2)


def without_one(arrays, name):
    del arrays[name]


def of_another_shape(arrays, name):
    arrays[name] = torch.zeros(*arrays[name].shape, 2)


def of_another_type(arrays, name):
    arrays[name] = arrays[name].double()


def not_finite(arrays, name):
    arrays[name] = torch.full_like(arrays[name], torch.nan)


GIVEN = {
    with_residual: "arrays not in the plan: ['residual/value.weight/U']",
    without_one: "arrays of the plan not given",
    of_another_shape: "; the plan has torch.float32",
    of_another_type: "is torch.float64",
    not_finite: "holds values that are not finite",
}


@pytest.mark.parametrize("kind", ["train.grow", "evaluate.grow", "query.save"])
@pytest.mark.parametrize(("how", "why"), GIVEN.items(), ids=[how.__name__ for how in GIVEN])
def test_arrays_that_the_plan_has_not_are_refused_before_anything_is_computed(folder, kind, how, why):
    one = begun(folder)
    for round_ in (1, 2):
        ask(one, folder, "train.grow", round_)
    before = read_json(folder / "site-ada" / "experiments" / "tiny-1" / "given.json")
    with pytest.raises(SiteError):
        one.answer(message(kind, config={"server-round": 3}, arrays=changed(folder, how)))
    assert why in (folder / "site-ada" / "site.log").read_text()
    assert read_json(folder / "site-ada" / "experiments" / "tiny-1" / "given.json") == before


@pytest.mark.parametrize(("kind", "round_"), [("train.grow", 1), ("train.local", 0)])
def test_the_first_arrays_are_the_start_of_the_plan(folder, kind, round_):
    """A gradient at a point of the coordinator's choice shows more than one at the start."""
    one = begun(folder, **(PHASES if kind == "train.local" else {}))
    assert "does not begin with the start that the plan says" in refused(one, folder, kind, round_, 0.1)
    ask(one, folder, kind, round_)


def test_more_bytes_than_the_plan_has_are_not_looked_into(folder, monkeypatch):
    one = begun(folder)
    monkeypatch.setattr("fedgrow.sites.site.unpacked", lambda content: pytest.fail("it was looked into"))
    large = message("train.grow", config={"server-round": 1})
    large.content["arrays"] = ArrayRecord(
        {"packed": Array(torch.zeros(3_000_000, dtype=torch.uint8).numpy())}
    )
    with pytest.raises(SiteError):
        one.answer(large)
    assert "it brings 3,000,128 bytes of arrays" in (folder / "site-ada" / "site.log").read_text()
    large.metadata.__dict__["_run_id"] = 99
    with pytest.raises(SiteError):
        one.answer(large)
    assert "a run whose plan was not shown" in (folder / "site-ada" / "site.log").read_text()


# the plan


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"training.batch_size": 1, "schedule.steps": 1}, "trains Global-LiGO on 1 examples"),
        ({"schedule.kind": "alternate", "schedule.steps": 2}, "trains Global-LiGO on 8 examples"),
        ({"training.clip_norm": 1e-9}, "clip_norm is 1e-09; a site takes 0.01 at least"),
        ({"operator.learning_rate": 1e-9}, "lowest learning rate is 1e-09; a site takes 1e-07 at least"),
        ({"training.head_learning_rate": 1e-9}, "lowest learning rate is 1e-09"),
    ],
)
def test_a_plan_that_would_show_gradients_as_they_are_is_refused_unseen(folder, changes, why):
    one = site(folder, approve=lambda plan, digest: pytest.fail("it was shown"))
    with pytest.raises(SiteError):
        one.answer(shown(folder, **changes))
    assert why in str(one.refused)


def test_a_batch_counts_for_no_more_examples_than_the_site_has(folder):
    one = site(folder, data={"source": "ada.npz", "limit": 20}, limits={"examples": 30})
    with pytest.raises(SiteError):
        one.answer(shown(folder, **{"training.batch_size": 64, "schedule.steps": 1}))
    assert "trains Global-LiGO on 15 examples" in str(one.refused)
    assert not (folder / "site-ada" / "experiments" / "tiny-1").exists()


# what is said of failures


def test_every_failure_sounds_the_same(folder):
    one = begun(folder)
    wrong = [
        message("train.prepare", run=99),
        message("train.grow", config={"server-round": 9}, arrays=start(folder)),
        message("train.fly", config={"server-round": 1}, arrays=start(folder)),
        message("train.grow", config={"server-round": 1}),
    ]
    reasons = {one.reply(each).error.reason for each in wrong}
    assert len(reasons) == 1
    assert "the site failed" in reasons.pop()


def test_failures_count_as_bytes_that_leave(folder):
    begun(folder)
    ledger = folder / "site-ada" / "experiments" / "tiny-1" / "ledger.jsonl"
    left = sum(line["bytes"] for line in verify(ledger))
    two = site(folder, limits={"megabytes": (left + 900) / 1e6})
    wrong = message("train.grow", config={"server-round": 9}, arrays=start(folder))
    two.reply(wrong)
    with pytest.raises(Refused, match=r"limits\.megabytes"):
        [two.reply(wrong) for _ in range(9)]
    assert sum(line["bytes"] for line in verify(ledger)) <= left + 900
