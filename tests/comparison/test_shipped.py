"""Studies that ship, and the one that the documents show, are whole."""

import re
from pathlib import Path

import pytest
import yaml

from fedgrow.comparison.experiments import experiments, settings
from fedgrow.config.load import load_study
from fedgrow.config.shipped import shipped_studies
from fedgrow.config.study import Study

DOCUMENT = Path(__file__).parents[2] / "docs" / "compare.md"


@pytest.mark.parametrize("name", shipped_studies())
def test_a_shipped_study_resolves(name):
    study = load_study(name)
    found = [e for setting in settings(study) for e in experiments(study, setting)]
    assert len(found) == len(study.methods) * len(study.tasks) * len(study.partitions) * len(study.seeds)


def test_the_documents_study_is_valid():
    [text] = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text("utf-8"), flags=re.DOTALL)
    study = Study.model_validate(yaml.safe_load(text))
    assert list(study.methods) == ["together", "tied", "alone", "small"]
    assert len(study.tasks) == len(study.partitions) == 2


def test_the_document_names_every_approach():
    from fedgrow.approaches import APPROACHES

    text = DOCUMENT.read_text("utf-8")
    assert [name for name in APPROACHES if f"`{name}`" not in text] == []
