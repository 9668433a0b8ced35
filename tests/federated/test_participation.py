"""A share of the participants trains in a round."""

from fedgrow.approaches.schedule import taking_part
from fedgrow.disk.events import listen, stop_listening
from fedgrow.federated.checkpoint import Checkpoints
from tests.federation import run_tiny, tiny_plan

SCHEDULE = {"kind": "joint", "rounds": 4, "steps": 2, "participation": 0.34}


def test_who_takes_part_is_drawn_by_the_seed():
    plan = tiny_plan(schedule=SCHEDULE | {"participation": 0.67})
    drawn = [taking_part(plan, number) for number in range(1, 30)]
    assert drawn == [taking_part(plan, number) for number in range(1, 30)]
    assert all(len(people) == 2 for people in drawn)
    assert {person for people in drawn for person in people} == {0, 1, 2}
    assert taking_part(tiny_plan(), 1) == [0, 1, 2]
    assert len(taking_part(tiny_plan(schedule=SCHEDULE | {"participation": 0.01}), 1)) == 1


def test_only_those_train_and_all_are_evaluated(tmp_path):
    asked = []
    listen(
        tmp_path / "run",
        lambda e: asked.append((e["step"], e["participants"])) if e["event"] == "asked" else None,
    )
    summary = run_tiny(tmp_path / "run", schedule=SCHEDULE)
    stop_listening(tmp_path / "run")
    assert asked.count(("train.grow", 1)) == asked.count(("evaluate.grow", 3)) == 4
    plan = tiny_plan(schedule=SCHEDULE)
    for record in Checkpoints(tmp_path / "run").rounds()[1:]:
        trained = [index for index, loss in enumerate(record.metrics["train_loss"]) if loss is not None]
        assert trained == taking_part(plan, record.round)
        assert None not in record.metrics["accuracy"]
    assert len(summary["participants"]) == 3


def test_a_stopped_run_goes_on_with_the_same(tmp_path):
    whole = run_tiny(tmp_path / "whole", schedule=SCHEDULE)
    first = SCHEDULE | {"rounds": 2}
    assert [taking_part(tiny_plan(schedule=first), n) for n in (1, 2)] == [
        taking_part(tiny_plan(schedule=SCHEDULE), n) for n in (1, 2)
    ]
    again = run_tiny(tmp_path / "again", schedule=SCHEDULE)
    assert whole["grown"] == again["grown"]
