"""The studies of ``benchmarks/studies``: they, and the plans that they start from, are valid."""

from pathlib import Path

import pytest

from fedgrow.comparison.experiments import as_overrides
from fedgrow.config.load import load_plan, load_study

FOLDER = Path(__file__).parents[2] / "benchmarks" / "studies"
STUDIES = [file.name for file in sorted(FOLDER.glob("*.yaml")) if "methods:" in file.read_text()]


@pytest.mark.parametrize("name", STUDIES)
def test_it_is_valid(name):
    study = load_study(FOLDER / name)
    for task in study.tasks.values():
        changes = as_overrides(study.set | task.set)
        plan = load_plan(task.plan or study.plan, changes)
        for method in study.methods.values():
            load_plan(task.plan or study.plan, [*changes, *as_overrides(method.set)])
        assert len(plan.participants) > 1


def test_there_are_some():
    assert {"main.yaml", "variables.yaml", "rates.yaml", "origins.yaml"} <= set(STUDIES)
