"""What a site answers, what it refuses, and that nothing of a failure travels."""

import re
import shutil

import numpy as np
import pytest
import torch

from fedgrow.architectures import families
from fedgrow.config.load import load_plan
from fedgrow.disk.atomic import read_json, read_tensors
from fedgrow.errors import FedgrowError
from fedgrow.exchange.contract import PLAN
from fedgrow.exchange.packing import packed, unpacked
from fedgrow.exchange.records import to_record
from fedgrow.exchange.wire import to_bytes
from fedgrow.federated.client_app import SiteError
from fedgrow.federated.resolve import resolve
from fedgrow.federated.simulate import forget
from fedgrow.learners.dual_ligo import global_start
from fedgrow.sites.ledger import verify
from fedgrow.sites.limits import Refused
from tests.sites.asking import message, shown, site, start
from tests.sites.private import leaks
from tests.written import forms


def test_a_plan_is_approved_once_and_its_messages_are_answered(folder):
    asked = []
    one = site(folder, lambda plan, digest: asked.append(digest) or True)
    reply = one.answer(shown(folder))
    assert dict(reply.content["metrics"]) == {"participant": 0, "num-examples": 45}
    one.answer(message("train.prepare"))
    again = site(folder, lambda plan, digest: pytest.fail("asked twice"))
    again.answer(shown(folder, run=8))
    again.answer(message("train.prepare", run=8))
    assert len(asked) == 1
    lines = verify(folder / "site-ada" / "experiments" / "tiny-1" / "ledger.jsonl")
    assert [line["to"] for line in lines] == [PLAN, "train.prepare"] * 2


def test_a_plan_pinned_by_its_digest_is_not_asked_for(folder):
    digest = shown(folder).content["config"]["digest"]
    site(folder, lambda *_: pytest.fail("asked"), plan=digest).answer(shown(folder))


ABSENT = "mps" if torch.cuda.is_available() else "cuda"
REFUSED = {
    "not approved": ({}, {}, "not approved"),
    "pinned to another": ({"plan": "0" * 64}, {}, "the site's file pins 000"),
    "more rounds": ({"limits": {"rounds": 2}}, {}, "3 rounds; limits.rounds allows 2"),
    "more metrics": ({"limits": {"metrics": ["loss"]}}, {}, "limits.metrics does not allow accuracy"),
    "not in it": ({"name": "eve"}, {}, "no participant eve"),
    "another device": ({}, {"training": {"device": ABSENT}}, f"there is no {ABSENT} here, only"),
    "a baseline": ({}, {"baselines": ["fedavg"]}, "names baselines (fedavg)"),
}


@pytest.mark.parametrize(("settings", "changes", "why"), REFUSED.values(), ids=REFUSED)
def test_a_plan_that_asks_for_too_much_is_refused(folder, settings, changes, why):
    one = site(folder, lambda plan, digest: why != "not approved", **settings)
    with pytest.raises(SiteError, match=r"see site\.log") as error:
        one.answer(shown(folder, **changes))
    assert why not in str(error.value)
    assert why in str(one.refused)
    assert why in (folder / "site-ada" / "site.log").read_text()
    assert not (folder / "site-ada" / "experiments").exists()


BAD = {
    "a path for a name": ({"experiment": "../../etc"}, "not a valid name"),
    "another digest": ({"said": {"digest": "0" * 64}}, "not the one that its digest says"),
    "another fedgrow": (
        {"said": {"fedgrow": "9.9.9"}},
        "the coordinator has fedgrow '9.9.9', this site has '",
    ),
}


@pytest.mark.parametrize(("changes", "why"), BAD.values(), ids=BAD)
def test_a_message_that_is_not_what_it_says_is_refused(folder, changes, why):
    with pytest.raises(SiteError):
        site(folder).answer(shown(folder, **changes))
    assert why in (folder / "site-ada" / "site.log").read_text()
    assert sorted(p.name for p in (folder / "site-ada").iterdir()) == ["site.log"]


def test_a_changed_plan_under_an_approved_name_is_refused(folder):
    site(folder).answer(shown(folder))
    two = site(folder)
    with pytest.raises(SiteError):
        two.answer(shown(folder, run=8, **{"schedule.steps": 4}))
    assert isinstance(two.refused, Refused)
    assert "a changed plan is a new experiment" in str(two.refused)


def test_a_message_of_a_run_whose_plan_was_not_shown_is_refused(folder):
    one = site(folder)
    one.answer(shown(folder))
    with pytest.raises(SiteError):
        one.answer(message("train.prepare", run=99))


@pytest.mark.parametrize("kind", ["train.grow", "query.nothing", "train"])
def test_nothing_of_a_failure_travels(folder, kind):
    one = site(folder)
    one.answer(shown(folder))
    with pytest.raises(SiteError) as error:
        one.answer(message(kind, config={"server-round": 1}))
    assert str(folder) not in str(error.value)
    assert "ada" not in str(error.value)


def test_an_answer_that_says_no_more_than_that_it_failed_is_in_a_ledger_too(folder):
    one = site(folder)
    before = one.reply(message("train.prepare"))  # of a run whose plan was not shown
    one.reply(shown(folder))
    after = one.reply(message("train.grow", config={"server-round": 1}))
    assert before.has_error()
    assert after.has_error()
    assert str(folder) not in before.error.reason + after.error.reason
    outside = verify(folder / "site-ada" / "ledger.jsonl")
    inside = verify(folder / "site-ada" / "experiments" / "tiny-1" / "ledger.jsonl")
    assert [line["error"] for line in outside] == [before.error.reason]
    assert ["error" in line for line in inside] == [False, True]
    assert [line["bytes"] for line in outside + inside[1:]] == [len(to_bytes(m)) for m in (before, after)]


SCHEDULES = {
    "joint": {},
    "two-phase": {"schedule": {"kind": "two-phase", "rounds": 3, "steps": 2, "local_steps": 2}},
}


@pytest.mark.parametrize("changes", SCHEDULES.values(), ids=list(SCHEDULES))
def test_a_site_that_was_away_before_the_first_round_takes_part_in_the_next(folder, changes):
    one = site(folder)
    one.answer(shown(folder, faults={"mode": "quorum"}, **changes))
    start = to_record(global_start(resolve(load_plan(folder / "plan.yaml")), families()["vit"]))
    late = one.answer(message("train.grow", config={"server-round": 2}, arrays=start))
    arrays = unpacked(late.content)
    assert set(arrays["arrays"]) == set(start)
    again = packed(arrays)["arrays"]["packed"]
    assert late.content["arrays"]["packed"].data == again.data  # and no byte more
    own = folder / "site-ada" / "experiments" / "tiny-1" / "participants" / "ada" / "private"
    assert (own / "small" / "prepared.json").is_file()
    kept = [path.stem for path in sorted((own / "state").iterdir())]
    assert kept == (["round-0000", "round-0002"] if changes else ["round-0002"])


@pytest.mark.parametrize("kind", ["none", "float16", "bfloat16", "int8", "int4", "ternary"])
def test_what_is_private_is_found_where_it_leaked(folder, kind):
    """The search that the tests of real processes, and the fault campaign, rely on."""
    one = site(folder)
    one.answer(shown(folder))
    one.answer(message("train.prepare"))
    at = folder / "coordinator"
    at.mkdir()
    (folder / "server.log").write_text("round 1")
    (at / "database").write_bytes(b"what may be there")
    assert leaks(folder, at)[0] == []
    small = folder / "site-ada/experiments/tiny-1/participants/ada/private/small/model.safetensors"
    name, tensor = next((n, t) for n, t in read_tensors(small).items() if t.dim() > 1)
    (at / "database").write_bytes(b"..." + forms(tensor)[kind] + b"...")
    assert leaks(folder, at)[0] == [f"ada: {name}, {kind}"]


def test_data_that_changed_since_the_approval_is_refused(folder):
    site(folder).answer(shown(folder))
    with np.load(folder / "ada.npz") as data:
        fewer = {name: array[:40] for name, array in data.items()}
    np.savez(folder / "ada.npz", **fewer)
    for one, again in ((site(folder), shown(folder)), (site(folder), message("train.prepare"))):
        forget()  # as another process would
        with pytest.raises(SiteError):
            one.answer(again)
        assert "the data of ada changed since the plan was approved" in str(one.refused)


def test_a_sites_file_that_changed_since_the_approval_is_refused(folder):
    site(folder).answer(shown(folder))
    shutil.copy(folder / "ada.npz", folder / "fewer.npz")
    for change, why in (
        (
            {"data": {"source": "fewer.npz"}},
            "the site's file says data: .*fewer.npz.*; when .* it was .*ada.npz",
        ),
        (
            {"prepare": {"steps": 7}},
            "the site's file says prepare: .*7.*; when the plan was approved it was None",
        ),
        ({"limits": {"metrics": ["loss"]}}, "limits.metrics does not allow accuracy"),
    ):
        was = (folder / "ada.yaml").read_text()
        for again in (shown(folder), message("train.prepare")):
            forget()  # as another process would
            one = site(folder, **change)
            with pytest.raises(SiteError):
                one.answer(again)
            assert re.search(why, str(one.refused))
        (folder / "ada.yaml").write_text(was)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"data": {"source": "nowhere.npz"}}, "nowhere"),
        ({"model": "nowhere"}, "nowhere"),
        ({"data": {"source": "ada.npz", "label": "kind"}}, "kind"),
        ({"data": {"source": "colour.npz"}}, "channels"),
        ({"data": {"source": "ada.npz", "limit": 1}}, "a shard of 1"),
    ],
    ids=["no data", "no model", "no such column", "colours for a grey model", "one row"],
)
def test_a_mistake_in_the_sites_own_file_ends_it(folder, change, why):
    """It would come out anew however often the coordinator asked; once it is mended, the site takes part."""
    was, grey = (folder / "ada.yaml").read_text(), np.load(folder / "ada.npz")
    np.savez(folder / "colour.npz", images=np.stack([grey["images"]] * 3, -1), labels=grey["labels"])
    one = site(folder, **change)
    assert one.reply(shown(folder)).has_error()
    assert not isinstance(one.refused, Refused)
    assert why in str(one.refused)
    assert not (folder / "site-ada" / "experiments" / "tiny-1").exists()
    (folder / "ada.yaml").write_text(was)
    assert not site(folder).reply(shown(folder)).has_error()


def test_an_approval_that_could_not_be_written_leaves_nothing_begun(folder, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device")

    one = site(folder)
    monkeypatch.setattr("fedgrow.sites.site.write_json", full)
    with pytest.raises(SiteError):
        one.answer(shown(folder))
    monkeypatch.undo()
    assert not (folder / "site-ada" / "experiments" / "tiny-1").exists()
    one.answer(shown(folder))
    approved = read_json(folder / "site-ada" / "experiments" / "tiny-1" / "approved.json")
    assert approved["digest"] == shown(folder).content["config"]["digest"]


def test_a_site_has_saved_until_it_takes_up_another_plan(folder):
    one = site(folder)
    one.answer(shown(folder))
    one.answer(message("train.prepare"))
    for round_ in (1, 2, 3):
        one.answer(message("train.grow", config={"server-round": round_}, arrays=start(folder)))
    assert not one.saved
    one.answer(message("query.save", config={"server-round": 3}, arrays=start(folder)))
    assert one.saved
    one.answer(shown(folder, run=8))  # the same, in another run
    assert one.saved
    assert site(folder).saved
    (folder / "other.crt").write_text("y")
    assert not site(
        folder, certificate=str(folder / "other.crt")
    ).saved  # another federation, not heard from yet
    one.answer(shown(folder, run=9, experiment="tiny-2", seed=1))
    assert not one.saved


def test_nothing_leaves_without_the_ledger(folder, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    one = site(folder)
    monkeypatch.setattr("fedgrow.disk.atomic.os.fsync", full)
    with pytest.raises(FedgrowError, match=r"cannot be written \(No space left on device\); nothing leaves"):
        one.reply(message("train.prepare"))
