"""YAML: what is written reads back as it was."""

import pytest
import yaml

from fedgrow.config.load import load_plan, parse_plan
from fedgrow.config.text import read_yaml, write_yaml
from fedgrow.errors import FedgrowError
from tests.federation import PLAN

VALUES = [
    "1e5",
    "1e2",
    "-3E7",
    "1.5e3",
    1e-12,
    1e5,
    "2001-01-01",
    "no",
    "1",
    1,
    None,
    True,
    "null",
    "é: [x] #1 'a'\n${b}",
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_written_reads_back(value):
    found = read_yaml(write_yaml({"a": [value, {"b": value}]}))
    assert found == {"a": [value, {"b": value}]}
    assert type(found["a"][0]) is type(value)


def test_keys_keep_their_order():
    assert write_yaml({"b": 1, "a": 2}) == "b: 1\na: 2\n"


def test_a_participant_may_be_called_like_a_number(tmp_path):
    people = [PLAN["participants"][0] | {"name": "1e2"}, *PLAN["participants"][1:]]
    text = write_yaml(PLAN | {"participants": people})
    plan = parse_plan(text, "tiny", tmp_path)
    assert plan.names[0] == "1e2"
    again = parse_plan(write_yaml(plan.model_dump(mode="json")), "tiny", tmp_path)
    assert again == plan


def test_a_date_that_there_is_not_is_refused(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("name: 2024-31-12\n")
    with pytest.raises(FedgrowError, match=r"is not valid YAML: a value cannot be read .month must be in 1"):
        load_plan(file)
    for text in ("2024-02-30", "!!bool x", "!!timestamp x", "!!int ''"):
        with pytest.raises(yaml.YAMLError):
            read_yaml(text)
    file.write_text(write_yaml(PLAN))
    with pytest.raises(FedgrowError, match=r"--set 'name=2024-13-01': the value .* is not valid YAML"):
        load_plan(file, ["name=2024-13-01"])
