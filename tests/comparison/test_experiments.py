from dataclasses import replace

import pytest

from fedgrow.comparison.experiments import experiments, fits, settings
from fedgrow.config.load import load_study
from fedgrow.config.plan import OperatorPlan
from fedgrow.errors import FedgrowError
from tests.comparison.studies import study


def test_every_combination_is_one_experiment(tmp_path):
    made = study(
        tmp_path,
        tasks={"few": {"set": {"data.limit": 90}}, "more": {"set": {"data.limit": 120}}},
        partitions={"iid": {}, "skewed": {"kind": "dirichlet", "alpha": 2.0, "min_examples": 4}},
        seeds=[3, 1],
    )
    found = settings(made)
    names = [s.name for s in found]
    assert names[:4] == ["few-iid-3", "few-skewed-3", "more-iid-3", "more-skewed-3"]
    assert len(names) == len(set(names)) == 8
    first = found[1].plan
    assert (first.seed, first.data.limit, first.partition.kind, first.partition.alpha) == (
        3,
        90,
        "dirichlet",
        2.0,
    )
    assert [e.name for e in experiments(made, found[0])] == [
        "together/few-iid-3",
        "tied/few-iid-3",
        "small/few-iid-3",
    ]


def test_a_method_changes_its_own_settings_and_nothing_else(tmp_path):
    made = study(tmp_path)
    [setting] = settings(made)
    plans = {e.method: e.plan for e in experiments(made, setting)}
    assert plans["together"] == setting.plan
    assert plans["tied"].operator.kind == "tied"
    assert plans["tied"].model_copy(update={"operator": setting.plan.operator}) == setting.plan
    assert plans["small"] == setting.plan.model_copy(update={"baselines": ("small",)})


@pytest.mark.parametrize("key", ["seed", "data.limit", "partition", "prepare.steps", "participants", "large"])
def test_a_method_may_not_change_what_it_is_compared_on(tmp_path, key):
    with pytest.raises(FedgrowError, match=f"methods.odd: {key} is the same for all methods"):
        study(tmp_path, methods={"odd": {"set": {key: 1}}})


@pytest.mark.parametrize(
    "odd",
    [
        {"schedule.rounds": 9},
        {"schedule": {"finetune_steps": 1}},
        {"training": {"batch_size": 3}},
        {"training.max_length": 9},
        {"schedule.participation": 0.4},
    ],
)
def test_a_method_may_not_have_another_budget(tmp_path, odd):
    made = study(tmp_path, methods={"odd": {"set": odd}})
    with pytest.raises(FedgrowError, match=r"methods\.odd on plan-plan-0: a participant would have"):
        experiments(made, settings(made)[0])


def test_steps_may_come_in_other_rounds(tmp_path):
    made = study(tmp_path)
    [setting] = settings(made)
    schedule = setting.plan.schedule
    other = {"rounds": schedule.rounds * schedule.steps, "steps": 1}
    made = study(tmp_path, methods={"often": {"set": {"schedule": other}}})
    assert experiments(made, setting)[0].plan.schedule == schedule.model_copy(update=other)


def test_a_mapping_adds_to_training_and_replaces_an_operator(tmp_path):
    changes = {"training": {"train_small": True}, "operator": {"residual": 2}}
    made = study(tmp_path, methods={"other": {"set": changes}}, set={"operator": {"kind": "tied"}})
    [setting] = settings(made)
    plan = experiments(made, setting)[0].plan
    assert plan.training == setting.plan.training.model_copy(update={"train_small": True})
    assert (setting.plan.operator.kind, plan.operator) == ("tied", OperatorPlan(residual=2))


def test_methods_that_do_not_fit_a_task_are_left_out(tmp_path):
    made = study(tmp_path, methods={"together": {}, "words": {"approach": "tfidf"}})
    assert [e.method for e in experiments(made, settings(made)[0])] == ["together"]
    assert fits("tfidf", "sequence-classification")
    assert not fits("tfidf", "image-classification")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"methods": {"x": {"approach": "luck"}}},
            "methods.x.approach: 'luck' is unknown; choose from dual-ligo",
        ),
        (
            {"methods": {"x": {"set": {"operator.kind": "odd"}}}},
            "methods.x on plan-plan-0: operator.kind: 'odd'",
        ),
        (
            {"partitions": {"p": {"kind": "odd"}}},
            r"(?s)task plan, partition p, seed 0: plan .*partition\.kind",
        ),
    ],
)
def test_wrong_settings_are_named(tmp_path, changes, said):
    made = study(tmp_path, **changes)
    with pytest.raises(FedgrowError, match=said):
        [experiments(made, s) for s in settings(made)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [1, 1]}, "seeds: .* twice"),
        ({"seeds": []}, "seeds"),
        ({"methods": {}}, "methods"),
        ({"plan": None}, "neither it nor the study names a plan"),
        ({"budget": 1}, "budget"),
        ({"methods": {"../up": {}}}, "methods"),
    ],
)
def test_a_wrong_study_is_refused(tmp_path, changes, said):
    with pytest.raises(FedgrowError, match=said):
        study(tmp_path, **changes)


def test_the_command_lines_settings_lie_over_the_file(tmp_path):
    study(tmp_path)
    assert load_study(tmp_path / "study.yaml", ["seeds=[7, 8]"]).seeds == (7, 8)


def test_a_task_changes_what_it_names_of_what_the_study_sets(tmp_path):
    made = study(
        tmp_path,
        set={"schedule": {"rounds": 3, "steps": 5}},
        tasks={"a": {}, "b": {"set": {"schedule": {"steps": 7}}}},
    )
    found = {s.task: (s.plan.schedule.rounds, s.plan.schedule.steps) for s in settings(made)}
    assert found == {"a": (3, 5), "b": (3, 7)}


@pytest.mark.parametrize(
    ("approach", "key"),
    [
        ("small", "operator.rank"),
        ("small", "strategy.name"),
        ("heterofl", "compression"),
        ("fedproto", "strategy"),
        ("independent", "compression.kind"),
        ("tfidf", "training.decay"),
    ],
)
def test_a_setting_that_an_approach_does_not_go_by_is_refused(tmp_path, approach, key):
    made = study(tmp_path, methods={"odd": {"approach": approach, "set": {key: None}}})
    [setting] = settings(made)
    if approach == "tfidf":
        setting = replace(setting, plan=setting.plan.model_copy(update={"task": "sequence-classification"}))
    with pytest.raises(
        FedgrowError, match=rf"methods\.odd\.set\.{key}: approach '{approach}' does not go by"
    ):
        experiments(made, setting)


def test_settings_of_one_name_are_refused(tmp_path):
    made = study(tmp_path, tasks={"a": {}, "a-b": {}}, partitions={"iid": {}, "b-iid": {}})
    with pytest.raises(FedgrowError, match="two settings would be called 'a-b-iid-0'"):
        settings(made)


def test_the_metric_that_methods_are_compared_by_is_needed(tmp_path):
    with pytest.raises(FedgrowError, match="compared by accuracy, and metrics lists loss; add it"):
        settings(study(tmp_path, set={"metrics": ["loss"]}))


def test_small_numbers_arrive_as_numbers(tmp_path):
    made = study(tmp_path, set={"model_settings": {"patch_size": 4, "layer_norm_eps": 1e-12}})
    assert settings(made)[0].plan.model_settings["layer_norm_eps"] == 1e-12


def test_a_folder_called_like_a_shipped_plan_is_no_plan(tmp_path):
    (tmp_path / "digits").mkdir()
    assert settings(study(tmp_path, plan="digits"))[0].plan.name == "digits"
