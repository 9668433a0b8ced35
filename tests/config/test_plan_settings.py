"""Every wrong setting is refused with a text that names it and what was found."""

import pytest
from pydantic import ValidationError

from fedgrow.config.plan import PreparePlan
from tests.config.parsing import VIT, parsed, participants, refusal

WRONG = {
    "unknown setting": ("nope=3", ["nope: no such setting; there are name, seed, task", "(found 3)"]),
    "unknown setting of a part": (
        "training.batchsize=3",
        ["training.batchsize: no such setting, did you mean batch_size; there are batch_size, max_length"],
    ),
    "unknown axis of a shape": ("large.widht=3", ["large.widht"]),
    "unknown setting of a participant": ("participants.1.nope=3", ["participants.1.nope"]),
    "text for a number": ("schedule.rounds=many", ["schedule.rounds", "integer", "'many'"]),
    "part of a round": ("schedule.rounds=1.5", ["schedule.rounds", "integer", "1.5"]),
    "no rounds": ("schedule.rounds=0", ["schedule.rounds", "greater than 0", "found 0"]),
    "negative seed": ("seed=-1", ["seed", "-1"]),
    "learning rate that is not a number": ("training.head_learning_rate=.nan", ["head_learning_rate", "nan"]),
    "negative learning rate": ("operator.learning_rate=-0.1", ["operator.learning_rate", "-0.1"]),
    "warm-up of everything": ("training.warmup=1", ["training.warmup", "less than 1"]),
    "test fraction above one": ("data.test_fraction=1.5", ["data.test_fraction", "1.5"]),
    "a text where a list belongs": ("baselines=small", ["baselines", "'small'"]),
    "unknown task": ("task=translation", ["task", "'translation'", "sequence-classification"]),
    "unknown family": ("family=mamba", ["family", "'mamba'", "bert, deit", "vit"]),
    "unknown partition": ("partition.kind=fair", ["partition.kind", "'fair'", "dirichlet"]),
    "unknown schedule": ("schedule.kind=three-phase", ["schedule.kind", "'three-phase'"]),
    "two things in one step": (
        "schedule={kind: alternate, steps: 1}",
        ["schedule: alternate trains two things in every round; set schedule.steps to 2 or more"],
    ),
    "one token a text": ("training.max_length=1", ["training.max_length", "2"]),
    "a seed too large": ("seed=9223372036854775807", ["seed"]),
    "a name that is a path": ("name=../../x", ["name"]),
    "nobody": ("participants=[]", ["participants", "at least 1"]),
    "a path for a name": ("participants.0.name=../up", ["participants.0.name", "'../up'"]),
    "no name": ("participants.0.name=", ["participants.0.name"]),
    "data without a source": ("data={test_fraction: 0.3}", ["data.source", "required"]),
    "heads that do not divide the width": ("large.heads=5", ["large", "24 is not divisible by 5 heads"]),
    "width that is not a number": ("large.width=wide", ["large.width", "'wide'"]),
    "neither shape nor auto": ("intermediate=automatic", ["intermediate", "'automatic'", "'auto'"]),
    "column without its kind": ("partition.column=site", ["partition", "column"]),
    "kind without its column": ("partition.kind=column", ["partition", "column"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_refused_by_name(case):
    setting, fragments = WRONG[case]
    text = refusal(setting)
    assert "plan 'tiny' is not valid" in text
    assert [f for f in fragments if f not in text] == []


@pytest.mark.parametrize("setting", ["task", "large", "participants"])
def test_what_is_needed_is_asked_for(setting):
    assert f"{setting}: Field required" in refusal(without=setting)


def test_names_differ_in_more_than_letter_case():
    assert "the name 'bob' is used twice" in refusal("participants.0.name=BOB")


def test_somebody_without_data_is_named():
    mine = {"source": "bundled:digits"}
    people = [*participants(VIT, data=mine), {"name": "poor", "model": VIT}]
    assert "data: participant 'poor' has no data of its own" in refusal(participants=people, without="data")


def test_own_data_needs_no_shared_data():
    assert (
        parsed(participants=participants(VIT, data={"source": "bundled:digits"}), without="data").data is None
    )


def test_the_family_is_needed_when_all_models_are_shapes():
    assert "family: name it" in refusal(without="family")


def test_the_family_may_be_left_to_a_model():
    assert parsed(participants=participants(VIT, "some/model"), without="family").family is None


def test_a_faulty_shape_is_told_of_without_the_union_around_it():
    text = refusal("participants.1.model={layers: 1, width: 10, heads: 3}")
    assert "participants.1.model: heads: width 10 is not divisible by 3 heads" in text
    assert len(text.splitlines()) == 2


def test_a_faulty_intermediate_shape_is_told_of_without_the_union_around_it():
    assert "auto" not in refusal("intermediate={layers: 1, width: 10, heads: 3}")


def test_several_wrong_settings_are_all_named():
    text = refusal("seed=-1", "schedule.steps=0")
    assert "seed" in text
    assert "schedule.steps" in text


def test_head_size_and_ffn_follow_from_the_width():
    large = parsed("large={layers: 2, width: 24, heads: 3}").large
    assert (large.head_size, large.ffn) == (8, 96)


def test_a_plan_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        parsed().seed = 1


@pytest.mark.parametrize(
    ("shape", "missing"), [("{layers: 3, width: 256}", "heads"), ("{heads: 2}", "layers, width")]
)
def test_a_shape_says_what_it_lacks(shape, missing):
    assert f"large: {missing}: not given; a shape needs layers, width and heads" in refusal(f"large={shape}")


def test_a_misspelt_setting_is_told_within_lists_too():
    assert "participants.0.nam: no such setting, did you mean name" in refusal("participants.0.nam=x")


def test_a_path_that_the_plan_does_not_use_is_refused():
    assert "paths.modles: plan 'tiny' uses no such path; it uses none" in refusal("paths.modles=/x")


def test_models_that_come_trained_are_readied_gently():
    assert (PreparePlan().rate(trained=True), PreparePlan().rate(trained=False)) == (2e-4, 1e-3)
    assert PreparePlan(learning_rate=0.5).rate(trained=True) == 0.5
