"""FedProto as a federation: only the table travels, and a plan without one list of classes is refused."""

from collections import Counter

import pytest
import torch
from pydantic import ValidationError

from fedgrow.config.plan import TrainingPlan
from fedgrow.errors import FedgrowError
from fedgrow.federated.resolve import resolve
from fedgrow.learners import WholeModel
from fedgrow.learners.prototypes import COUNTS, PROTOTYPES
from tests.approaches.federating import DIGITS, Heard, begin, federate, sites
from tests.federation import PLAN, tiny_plan


def test_only_the_table_travels_and_it_counts_each_participants_own_examples(tmp_path):
    run, tap = begin(tmp_path / "run", "fedproto"), Heard()
    federate(run, "fedproto", tap)
    people = sites(run, "fedproto")
    for way, index, _, arrays, _ in tap.messages:
        assert {n: tuple(t.shape) for n, t in arrays.items()} == {PROTOTYPES: (10, 8), COUNTS: (10,)}
        if way == "up":
            own = Counter(people[index].raw_data[0].labels)
            assert arrays[COUNTS].tolist() == [own[str(i)] for i in range(10)]
            absent = arrays[COUNTS] == 0
            assert not arrays[PROTOTYPES][absent].any()
    first, last = tap.messages[0][3], [m for m in tap.messages if m[0] == "down"][-1][3]
    assert not first[COUNTS].any()
    assert last[COUNTS].sum() == sum(len(site.train_data) for site in people)
    assert torch.isfinite(last[PROTOTYPES]).all()


@pytest.mark.parametrize(("settings", "as_plain"), [({"prototype_weight": 0}, True), ({}, False)])
def test_without_weight_the_training_is_that_of_the_small_model(tmp_path, settings, as_plain):
    run = begin(tmp_path / "run", "fedproto", training={"batch_size": 8} | settings)
    site = sites(run, "fedproto")[0]
    table = {PROTOTYPES: torch.ones(10, 8), COUNTS: torch.ones(10)}
    pulled = site.fit(site.learner, table, site.learner.private_start(), "joint", 2, 1).private
    small = WholeModel(site.small_model, site.small_rate, (), site.plan.training.head_learning_rate)
    plain = site.fit(small, {}, small.private_start(), "joint", 2, 1).private
    assert all(torch.equal(pulled[n], plain[n]) for n in plain) == as_plain


def test_the_weight_of_the_pull_is_the_plans(tmp_path):
    run = begin(tmp_path / "run", "fedproto", training={"batch_size": 8, "prototype_weight": 0.25})
    assert [site.learner.pull for site in sites(run, "fedproto")] == [0.25] * 3
    assert TrainingPlan().prototype_weight == 1.0
    with pytest.raises(ValidationError, match="prototype_weight"):
        TrainingPlan(prototype_weight=-1)


def test_without_a_closed_list_it_is_refused_before_a_run_begins():
    with pytest.raises(
        FedgrowError, match=r"participant ada has no closed list of labels; name data\.labels"
    ):
        resolve(tiny_plan(baselines=["fedproto"]))


def test_lists_that_differ_are_refused():
    people = [dict(p) for p in PLAN["participants"]]
    people[1]["data"] = DIGITS | {"labels": DIGITS["labels"][::-1]}
    with pytest.raises(FedgrowError, match=r"data\.labels differ"):
        resolve(tiny_plan(baselines=["fedproto"], data=DIGITS, participants=people))


def test_other_tasks_are_refused():
    with pytest.raises(FedgrowError, match="fedproto fits sequence-classification, image-classification"):
        resolve(tiny_plan(baselines=["fedproto"], task="token-classification"))
