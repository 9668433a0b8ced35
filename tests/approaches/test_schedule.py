"""Who is trained when: schedules, turns of arrays, and fine-tuning after the last round."""

import pytest
import torch

from fedgrow.approaches import APPROACHES, FED_GROW
from fedgrow.approaches.rounds import flops_by_round
from fedgrow.approaches.schedule import in_phases, jointly, own_steps, taking_part, total_steps
from fedgrow.architectures.models import load_model
from fedgrow.disk.atomic import read_json, read_tensors
from fedgrow.federated.member import member_at
from fedgrow.federated.outcome import read_outcome
from fedgrow.participants.participant import Participant
from fedgrow.runs.folder import RunFolder
from tests.federation import run_tiny, tiny_plan

SCHEDULES = {
    "joint": {"kind": "joint", "rounds": 3, "steps": 5},
    "two-phase": {"kind": "two-phase", "rounds": 3, "steps": 5, "local_steps": 4},
    "alternate": {"kind": "alternate", "rounds": 3, "steps": 5},
    "finetuned": {"kind": "joint", "rounds": 3, "steps": 5, "finetune_steps": 7},
}


def test_growth_in_phases():
    made = {name: in_phases(tiny_plan(schedule=schedule)) for name, schedule in SCHEDULES.items()}
    assert made["joint"] == made["finetuned"] == [[], *[[("joint", 5)]] * 3]
    assert made["two-phase"] == [[("local", 4)], *[[("grow", 5)]] * 3]
    assert made["alternate"] == [[], *[[("local", 3), ("grow", 2)]] * 3]


def test_what_cannot_be_spread_evenly_comes_first():
    assert jointly(11, 3) == [[], [("joint", 5)], [("joint", 3)], [("joint", 3)]]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_federated_approach_has_the_same_steps(name):
    plan = tiny_plan(schedule=SCHEDULES[name])
    for approach in APPROACHES.values():
        if hasattr(approach, "rounds"):
            given = sum(steps for parts in approach.rounds(plan) for _, steps in parts)
            after = plan.schedule.finetune_steps if approach is FED_GROW else 0
            prepared = len(approach.prepared(plan)) == len(plan.participants)
            before = plan.prepare.steps if prepared else 0
            assert before + given + after == plan.prepare.steps + total_steps(plan), approach.name


def test_only_fed_grow_and_fedprox_pull_to_the_rounds_start():
    training = tiny_plan(training={"proximal": 0.5}).training
    pulls = {a.name: a.training(training).proximal for a in APPROACHES.values() if hasattr(a, "training")}
    assert {name for name, pull in pulls.items() if pull} == {"dual-ligo", "fedprox"}


def test_alternating_trains_both_parts(tmp_path):
    run_tiny(tmp_path / "run", schedule={"kind": "alternate", "rounds": 1, "steps": 4})
    site = member_at(str(tmp_path / "run"), 0, "dual-ligo")
    start, end = site.learner.private_start(), site.state.load(1)
    assert any(not torch.equal(start[n], end[n]) for n in start if n.startswith("local/"))
    after = read_tensors(tmp_path / "run/operator/operator.safetensors")
    assert any(not torch.equal(after[n], array) for n, array in site.learner.shared_start().items())


def test_arrays_take_turns(tmp_path):
    """V first: it starts at zero, so U has no gradient before it has moved."""
    turns = [["map/*/V", "depth*"], ["map/*/U"]]
    schedule = {"kind": "joint", "rounds": 3, "steps": 2}
    run_tiny(tmp_path / "run", schedule=schedule, operator={"kind": "low-rank", "rank": 2, "turns": turns})
    run = RunFolder(tmp_path / "run")
    start = FED_GROW.start(run)
    second, third = (read_tensors(run.path / f"rounds/{i:04d}/shared.safetensors") for i in (2, 3))
    ups, downs = ([n for n in start if n.endswith(end)] for end in ("/U", "/V"))
    assert not any(torch.equal(start[n], second[n]) for n in (*ups, *downs))
    assert all(torch.equal(second[n], third[n]) for n in ups)  # the third round is the first turn again
    assert not any(torch.equal(second[n], third[n]) for n in downs)


def test_one_factor_held_fixed(tmp_path):
    operator = {"kind": "low-rank", "rank": 2, "turns": [["*/V"]]}
    run_tiny(tmp_path / "run", operator=operator)
    start, end = (
        FED_GROW.start(RunFolder(tmp_path / "run")),
        read_tensors(tmp_path / "run/operator/operator.safetensors"),
    )
    assert all(torch.equal(end[name], array) for name, array in start.items() if not name.endswith("/V"))
    assert not any(torch.equal(end[name], array) for name, array in start.items() if name.endswith("/V"))


def test_fine_tuning_after_the_last_round(tmp_path):
    summary = run_tiny(tmp_path / "run", schedule=SCHEDULES["finetuned"], baselines=["independent", "small"])
    run = RunFolder(tmp_path / "run")
    outcome = read_outcome(run, "dual-ligo")
    for name, ended in outcome.participants.items():
        assert len(ended.curve) == len(ended.flops) == 4
        assert (
            ended.metrics
            == ended.curve[-1]
            == read_json(run.participant(name) / "report.json")["grown"]["metrics"]
        )
        assert ended.curve[-1] != ended.curve[-2]
    assert len(outcome.bytes_up) == 3  # nothing travels for it
    alone = read_outcome(run, "independent")
    assert all(len(ended.curve) == 4 for ended in alone.participants.values())
    for index, one in enumerate((outcome, alone)):
        site = member_at(str(run.path), 0, "dual-ligo")
        ended = one.participants[site.name]
        assert ended.trained == site.learner.trained() + ended.model, (
            index
        )  # all weights are trained in the end
    site = member_at(str(run.path), 0, "dual-ligo")
    state, end = site.state.load(3), read_tensors(run.path / "operator/operator.safetensors")
    grown = site.learner.materialise(end, state).state_dict()
    saved = load_model(run.participant("ada") / "model", run.plan.task)[0].state_dict()
    assert grown.keys() == saved.keys()
    assert all(not torch.equal(saved[n], grown[n]) for n in grown if n.endswith("mlp.fc1.weight"))
    assert summary["grown"]["metrics_mean"]["accuracy"] == pytest.approx(
        sum(e.metrics["accuracy"] for e in outcome.participants.values()) / 3
    )


def test_growth_alone_sees_the_same_batches_as_together(tmp_path, monkeypatch):
    """In both parts of a round, and in the rounds that it takes part in only."""
    seen: dict[str, list] = {"together": [], "alone": []}
    plain = Participant.fit

    def fit(site, learner, shared, private, phase, steps, server_round, **more):
        if steps and site.index == index and "prepare" not in more:
            names = {n for g in learner.groups(phase) for n in g.names if more["trains"](n)} & set(shared)
            seen[way].append((phase, steps, server_round, more.get("part", 0), sorted(names)))
        return plain(site, learner, shared, private, phase, steps, server_round, **more)

    monkeypatch.setattr(Participant, "fit", fit)
    schedule = {"kind": "alternate", "rounds": 3, "steps": 4, "participation": 0.67}
    operator = {"kind": "low-rank", "rank": 2, "turns": [["*/V"], ["depth*"]]}
    way, plan = "together", tiny_plan(schedule=schedule)
    index = next(i for i in range(3) if own_steps(plan, i) < 12)
    run_tiny(tmp_path / "run", schedule=schedule, operator=operator)
    site = member_at(str(tmp_path / "run"), index, "dual-ligo")
    way = "alone"
    ended = APPROACHES["independent"].run(site)
    assert seen["together"] == seen["alone"]
    rounds = [r for r in (1, 2, 3) if index in taking_part(site.plan, r)]
    assert [one[2:4] for one in seen["alone"]] == [(r, part) for r in rounds for part in (0, 1)]
    assert 0 < len(rounds) < 3
    assert len(ended.curve) == 3
    assert own_steps(site.plan, index) == 4 * len(rounds)


def test_the_budget_is_the_same_where_rounds_have_few():
    plan = tiny_plan(schedule=SCHEDULES["two-phase"] | {"participation": 0.67})
    people, rounds = len(plan.participants), plan.schedule.rounds
    ours = sum(own_steps(plan, i) for i in range(people))
    assert ours == people * 4 + 2 * rounds * 5
    ours += people * plan.prepare.steps  # of which this approach has none
    [_, *each] = APPROACHES["fedavg"].rounds(plan)
    assert 2 * sum(steps for parts in each for _, steps in parts) == pytest.approx(ours, abs=2)


def test_arrays_out_of_turn_cost_no_gradient(tmp_path):
    run_tiny(tmp_path / "run", schedule={"rounds": 1, "steps": 1}, baselines=[])
    site = member_at(str(tmp_path / "run"), 0, "dual-ligo")
    [_, *rounds] = in_phases(site.plan)
    whole, few = (
        flops_by_round(site, site.learner, [[], *rounds], trains=trains)
        for trains in (lambda plan, name, number: True, lambda plan, name, number: False)
    )
    assert few < whole
