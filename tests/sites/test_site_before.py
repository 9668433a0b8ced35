"""What costs nothing, and shows nothing false, before anybody approved anything."""

import json

import pytest
from flwr.app import Message

from fedgrow.architectures import families
from fedgrow.config.load import load_plan
from fedgrow.exchange.compression import COMPRESSIONS, compress
from fedgrow.exchange.contract import PLAN
from fedgrow.federated.client_app import SiteError
from fedgrow.federated.leaving import Leaving
from fedgrow.federated.resolve import resolve
from fedgrow.learners.dual_ligo import global_start
from fedgrow.sites.coordination import introducing, plan_text
from tests.sites.asking import message, shown, site


def raw_shown(folder, **changes) -> Message:
    """Return the message that shows a plan that no coordinator of ours would show."""
    raw = json.loads(plan_text(resolve(load_plan(folder / "plan.yaml")))) | changes
    text = json.dumps(raw)
    return message(PLAN, config=introducing("tiny-1", text))


def people(**brought) -> list[dict]:
    return [{"name": "ada"}, {"name": "bob", **brought}]


WIDE = {"layers": 64, "width": 2**20, "heads": 2, "ffn": 2**20}


UNFIT = {
    "another's tokenizer": (
        {"participants": people(tokenizer="bert-base-cased")},
        "the plan names tokenizer",
    ),
    "another's model": ({"participants": people(model="gpt2", data={"source": "a/b"})}, "names data, model"),
    "its preparation": ({"participants": people(prepare={"steps": 9})}, "the plan names prepare"),
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
