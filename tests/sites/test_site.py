"""What a site answers, what it refuses, and that nothing of a failure travels."""

import json
import time

import numpy as np
import pytest
import yaml
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from fedgrow.architectures import families
from fedgrow.config.load import load_plan
from fedgrow.config.resolve import resolve
from fedgrow.config.site import load_site
from fedgrow.errors import FedgrowError
from fedgrow.exchange.compression import COMPRESSIONS, compress
from fedgrow.exchange.contract import PLAN
from fedgrow.exchange.records import from_record, to_record
from fedgrow.exchange.wire import become_server, to_bytes
from fedgrow.federated.client_app import SiteError
from fedgrow.federated.simulate import forget
from fedgrow.methods.dual_ligo import global_start
from fedgrow.runs.atomic import read_json, read_tensors
from fedgrow.sites.coordination import digest_of, plan_text
from fedgrow.sites.leaving import Leaving
from fedgrow.sites.ledger import verify
from fedgrow.sites.limits import Refused
from fedgrow.sites.site import Site
from tests.sites.making import write_all, write_yaml
from tests.sites.private import leaks


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ca.crt").write_text("x")
    write_all(tmp_path, "127.0.0.1:9", tmp_path / "ca.crt")
    return tmp_path


def site(folder, approve=lambda plan, digest: True, **changes) -> Site:
    raw = yaml.safe_load((folder / "ada.yaml").read_text()) | changes
    write_yaml(folder / "ada.yaml", raw)
    return Site(load_site(folder / "ada.yaml"), approve)


def shown(folder, run: int = 7, experiment: str = "tiny-1", digest: str | None = None, **changes) -> Message:
    """Return the message that shows a plan."""
    become_server(run)
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    text = plan_text(resolve(load_plan(folder / "plan.yaml", overrides)))
    config = {"server-round": 0, "experiment": experiment, "plan": text, "digest": digest or digest_of(text)}
    return message(PLAN, run, config=config)


def message(
    kind: str, run: int = 7, config: dict | None = None, arrays: ArrayRecord | None = None
) -> Message:
    become_server(run)
    content = RecordDict(
        {"arrays": arrays or ArrayRecord(), "config": ConfigRecord(config or {"server-round": 0})}
    )
    return Message(content, 1001, kind, group_id="0")


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


REFUSED = {
    "not approved": ({}, {}, "not approved"),
    "pinned to another": ({"plan": "0" * 64}, {}, "the site's file pins 000"),
    "more rounds": ({"limits": {"rounds": 2}}, {}, "3 rounds; limits.rounds allows 2"),
    "shares nothing": ({"limits": {"share": []}}, {}, "limits.share allows nothing"),
    "not in it": ({"name": "eve"}, {}, "no participant eve"),
    "a baseline": ({}, {"baselines": ["fedavg"]}, "shares dual-ligo, fedavg"),
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
    "a path for a name": ({"experiment": "../../etc"}, "is none"),
    "another digest": ({"digest": "0" * 64}, "not the one that its digest says"),
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
    assert set(late.content["arrays"]) == set(start)
    own = folder / "site-ada" / "experiments" / "tiny-1" / "participants" / "ada" / "private"
    assert (own / "small" / "prepared.json").is_file()
    kept = [path.stem for path in sorted((own / "state").iterdir())]
    assert kept == (["round-0000", "round-0002"] if changes else ["round-0002"])


@pytest.mark.parametrize("sent_as", ["float32", "float16"])
def test_what_is_private_is_found_where_it_leaked(folder, sent_as):
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
    (at / "database").write_bytes(b"..." + tensor.numpy().astype(sent_as).tobytes() + b"...")
    assert leaks(folder, at)[0] == [f"ada: {name}"]


def test_data_that_changed_since_the_approval_is_refused(folder):
    site(folder).answer(shown(folder))
    with np.load(folder / "ada.npz") as data:
        fewer = {name: array[:40] for name, array in data.items()}
    np.savez(folder / "ada.npz", **fewer)
    for one, again in ((site(folder), shown(folder)), (site(folder), message("train.prepare"))):
        forget()  # as another process would
        with pytest.raises(SiteError):
            one.answer(again)
        assert "the data is not what it was when the plan was approved" in str(one.refused)


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
    one.answer(shown(folder, run=9, experiment="tiny-2", seed=1))
    assert not one.saved


def test_nothing_leaves_without_the_ledger(folder, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    one = site(folder)
    monkeypatch.setattr("fedgrow.runs.atomic.os.fsync", full)
    with pytest.raises(FedgrowError, match=r"cannot be written \(No space left on device\); nothing leaves"):
        one.reply(message("train.prepare"))


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
        one.answer(message("train.grow", run, {"server-round": round_}, start(folder)))
    with pytest.raises(SiteError):
        one.answer(message("train.grow", 7, {"server-round": 2}, start(folder)))
    assert "limits.rounds: 3 rounds were taken part in" in str(one.refused)


def test_hours_are_counted_from_the_first_approval(folder):
    one = site(folder)
    one.answer(shown(folder))
    approve_long_ago(folder)
    with pytest.raises(SiteError):
        one.answer(shown(folder, run=8, experiment="tiny-2", seed=1))
    assert "limits.hours allows 168" in str(one.refused)


def start(folder, more: float = 0.0) -> ArrayRecord:
    """Return arrays that a round may begin with."""
    arrays = global_start(resolve(load_plan(folder / "plan.yaml")), families()["vit"])
    return to_record({name: array + more for name, array in arrays.items()})


def test_a_round_is_answered_again_with_the_same_arrays_only(folder):
    one = site(folder)
    one.answer(shown(folder))
    one.answer(message("train.prepare"))
    config = {"server-round": 1}
    first = one.answer(message("train.grow", config=config, arrays=start(folder)))
    two = site(folder)  # begun again
    two.answer(shown(folder, run=8))
    again = two.answer(message("train.grow", 8, config, start(folder)))
    assert from_record(again.content["arrays"]).keys() == from_record(first.content["arrays"]).keys()
    for name, array in from_record(first.content["arrays"]).items():
        assert array.equal(from_record(again.content["arrays"])[name])
    with pytest.raises(SiteError):
        two.answer(message("train.grow", 8, config, start(folder, 0.5)))
    assert "round 1 was asked for before, with other arrays" in str(two.refused)


def test_few_sets_of_arrays_are_evaluated_for_a_round(folder):
    one = site(folder)
    one.answer(shown(folder))
    one.answer(message("train.prepare"))
    one.answer(message("train.grow", config={"server-round": 1}, arrays=start(folder)))
    for more in (0.0, 0.1, 0.1, 0.2, 0.0):
        one.answer(message("evaluate.grow", config={"server-round": 1}, arrays=start(folder, more)))
    with pytest.raises(SiteError):
        one.answer(message("evaluate.grow", config={"server-round": 1}, arrays=start(folder, 0.3)))
    assert "with other arrays" in str(one.refused)


@pytest.mark.parametrize("round_", [-1, 0, 4])
def test_a_round_that_is_not_the_plans_is_refused(folder, round_):
    one = site(folder)
    one.answer(shown(folder, faults={"mode": "quorum"}))
    one.answer(message("train.prepare"))
    with pytest.raises(SiteError):
        one.answer(message("train.grow", config={"server-round": round_}, arrays=start(folder)))
    assert f"round {round_} is none of the plan's 3" in str(one.refused)


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


WRONG = {
    "coordinator": ({"coordinator": "no port"}, r"coordinator: String should match"),
    "certificate": ({"certificate": "none.crt"}, r"certificate .*none\.crt is no file; take ca\.crt"),
    "share": (
        {"limits": {"share": ["everything"]}},
        r"limits.share: 'everything' is unknown; choose from dual-ligo",
    ),
    "home": (
        {"model": "~nosuchuser/x"},
        r"nothing is known of the home ~nosuchuser; write the path in full",
    ),
    "plan": ({"plan": "abc"}, r"plan: String should match"),
    "unknown": ({"limit": {}}, r"limit: no such setting, did you mean limits"),
}


@pytest.mark.parametrize(("changes", "why"), WRONG.values(), ids=WRONG)
def test_a_wrong_site_file_is_named(folder, changes, why):
    with pytest.raises(FedgrowError, match=why):
        site(folder, **changes)


NO_SITE = {
    "a list": (b"- a\n", "holds a list, expected settings"),
    "half a list": (b"a: [", "is not valid YAML at line 1"),
    "a null character": (b"\x00", "is not valid YAML"),
    "no text": (b"\xff", "cannot be read as UTF-8 text"),
    "nested": (b"[" * 3000, "is nested too deeply"),
    "limits twice": (
        b"limits: {rounds: 1}\nlimits: {rounds: 9}",
        "is not valid YAML at line 2: 'limits' stands twice",
    ),
}


@pytest.mark.parametrize(("data", "why"), NO_SITE.values(), ids=NO_SITE)
def test_a_file_that_is_no_site_file_is_refused(tmp_path, data, why):
    (tmp_path / "x.yaml").write_bytes(data)
    with pytest.raises(FedgrowError, match=rf"site file '.*x\.yaml' {why}"):
        load_site(tmp_path / "x.yaml")


# what costs nothing, and shows nothing false, before anybody approved anything


def raw_shown(folder, **changes) -> Message:
    """Return the message that shows a plan that no coordinator of ours would show."""
    raw = json.loads(plan_text(resolve(load_plan(folder / "plan.yaml")))) | changes
    text = json.dumps(raw)
    config = {"server-round": 0, "experiment": "tiny-1", "plan": text, "digest": digest_of(text)}
    return message(PLAN, config=config)


def people(**brought) -> list[dict]:
    return [{"name": "ada"}, {"name": "bob", **brought}]


WIDE = {"layers": 64, "width": 2**20, "heads": 2, "ffn": 2**20}
UNFIT = {
    "another's tokenizer": (
        {"participants": people(tokenizer="bert-base-cased")},
        "the plan names tokenizer",
    ),
    "another's model": ({"participants": people(model="gpt2", data={"source": "a/b"})}, "names data, model"),
    "its readying": ({"participants": people(prepare={"steps": 9})}, "the plan names prepare"),
    "data": ({"data": {"source": "a/b"}}, "the plan names data"),
    "an open shape": ({"intermediate": "auto"}, "leaves its family or intermediate shape open"),
    "open metrics": ({"metrics": []}, "metrics: the plan lists none"),
    "metrics": ({"metrics": ["accuracy (approved by the board)"]}, "metrics: 'accuracy (approved by the"),
    "an escape": ({"metrics": ["a\x1b[2K"]}, "expected characters that a screen shows"),
    "too many bytes": ({"large": WIDE, "operator": {"kind": "dense"}}, "MB would have left, 1000 are agreed"),
}


@pytest.mark.parametrize(("changes", "why"), UNFIT.values(), ids=UNFIT)
def test_an_unfit_plan_is_refused_before_anybody_is_asked(folder, monkeypatch, changes, why):
    def resolved(plan):
        pytest.fail("models, tokenizers and operators are looked at")

    message = raw_shown(folder, **changes)
    monkeypatch.setattr("fedgrow.sites.site.resolve", resolved)
    one = site(folder, lambda *_: pytest.fail("asked"))
    with pytest.raises(SiteError):
        one.answer(message)
    assert why in (folder / "site-ada" / "site.log").read_text()


def test_a_plan_may_send_no_more_than_what_is_left_of_the_agreed_bytes(folder):
    sent = Leaving.of(resolve(load_plan(folder / "plan.yaml"))).all_bytes
    first = site(folder, limits={"megabytes": sent / 1e6})
    first.answer(shown(folder))
    second = site(folder, lambda *_: pytest.fail("asked"), limits={"megabytes": sent / 1e6})
    second.answer(shown(folder, run=8))
    with pytest.raises(SiteError):
        second.answer(shown(folder, run=9, experiment="tiny-2", seed=1))
    assert "limits.megabytes: 0.0" in str(second.refused)


def test_what_leaves_is_counted_as_it_is(folder):
    plan = resolve(load_plan(folder / "plan.yaml", ["compression.kind=int8"]))
    arrays = global_start(plan, families()["vit"])
    travels, _ = compress(COMPRESSIONS["int8"](), arrays, arrays, {})
    leaving = Leaving.of(plan)
    assert leaving.bytes == sum(array.nbytes for array in travels.values())
    assert (leaving.arrays, leaving.numbers) == (len(arrays), sum(a.numel() for a in arrays.values()))


# time


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
