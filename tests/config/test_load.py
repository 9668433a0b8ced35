"""Reading a plan: its file, its paths, and settings from the command line."""

import shutil
from pathlib import Path

import pytest
import yaml

from fedgrow.config.load import load_plan, parse_plan, shipped_plans
from fedgrow.errors import FedgrowError
from tests.config.parsing import parsed, refusal
from tests.federation import PLAN


def refused(text: str) -> str:
    with pytest.raises(FedgrowError) as caught:
        parse_plan(text, "mine.yaml", Path.cwd())
    return str(caught.value)


def test_a_plan_that_is_not_there_is_named_with_the_shipped_ones():
    with pytest.raises(
        FedgrowError,
        match=r"'nope.yaml': no such file.*digits, gpt2, published, published-20, published-text, text-bert",
    ):
        load_plan("nope.yaml")


def test_a_folder_is_not_a_plan(tmp_path):
    with pytest.raises(FedgrowError, match="no such file"):
        load_plan(tmp_path)


def test_bytes_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "plan.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(FedgrowError, match=r"plan\.yaml' cannot be read as UTF-8 text"):
        load_plan(tmp_path / "plan.yaml")


def test_broken_yaml_is_refused_with_its_line():
    assert "'mine.yaml' is not valid YAML at line 2" in refused("name: x\nlarge: [1")


def test_a_control_character_is_refused():
    assert "not valid YAML" in refused("\x00")


@pytest.mark.parametrize(("text", "found"), [("", "nothing"), ("- a\n- b", "a list"), ("words", "a str")])
def test_what_is_no_mapping_is_refused(text, found):
    assert f"holds {found}, expected settings" in refused(text)


def test_a_key_that_stands_twice_is_refused():
    assert "not valid YAML at line 3: 'seed' stands twice" in refused("seed: 1\ntask: x\nseed: 2")
    assert "'a' stands twice" in refused("name: {a: 1, a: 1}")


@pytest.mark.parametrize("text", ["[" * 3000, "name: " + "{a: " * 3000])
def test_nesting_without_end_is_refused(text):
    assert "plan 'mine.yaml' is nested too deeply" in refused(text)
    with pytest.raises(FedgrowError, match="is not valid YAML"):
        parsed(f"name={text}")


def test_a_home_that_nobody_has_is_named():
    people = [{"name": "ada", "model": "~nosuchuser/bert"}]
    assert "path '~nosuchuser/bert': nothing is known of the home ~nosuchuser" in refusal(participants=people)


def test_yaml_runs_no_code():
    assert "not valid YAML" in refused("name: !!python/object/apply:os.getcwd []")


# --set


def test_a_setting_is_changed():
    assert parsed("schedule.rounds=7").schedule.rounds == 7


def test_a_setting_is_added_where_its_part_is_missing():
    assert parsed("vocabulary.size=400").vocabulary.size == 400


def test_a_list_entry_is_addressed_by_its_number():
    plan = parsed("participants.1.name=ben", "participants.2.model.heads=4")
    assert plan.names == ["ada", "ben", "cyd"]
    assert plan.participants[2].model.heads == 4


def test_a_value_is_yaml():
    plan = parsed("baselines=[small, fedavg]", "training.train_small=true", "name='7'")
    assert (plan.baselines, plan.training.train_small, plan.name) == (("small", "fedavg"), True, "7")


def test_the_last_of_two_settings_counts():
    assert parsed("seed=1", "seed=2").seed == 2


def test_a_value_may_hold_an_equals_sign():
    assert parsed("data.text=a=b").data.text == "a=b"


@pytest.mark.parametrize("setting", ["rounds", "=3", ""])
def test_without_key_and_value_it_is_refused(setting):
    assert f"--set {setting!r}: expected key=value" in refusal(setting)


@pytest.mark.parametrize(
    "setting",
    [
        "participants.9.name=x",
        "participants.first.name=x",
        "participants.3={name: x}",
        "data.source.kind=x",
        "name.x=1",
    ],
)
def test_a_way_that_leads_nowhere_is_refused(setting):
    assert "does not lead to a setting" in refusal(setting)


def test_a_value_that_is_not_yaml_is_refused():
    assert "the value '[1' is not valid YAML" in refusal("seed=[1")


# paths


def test_paths_are_put_where_they_are_named():
    plan = parsed(paths={"d": "some/data"}, data={"source": "${d}"})
    assert plan.data.source == "some/data"


def test_paths_are_put_within_values():
    plan = parsed(paths={"d": "some/data", "n": "x"}, data={"source": "${d}/${n}.csv"})
    assert plan.data.source == "some/data/x.csv"


def test_labels_are_no_paths():
    plan = parsed(paths={"d": "x"}, data={"source": "y.csv", "labels": ["${d}", "${e}"]})
    assert plan.data.labels == ("${d}", "${e}")


def test_paths_are_put_into_lists_too():
    people = [{"name": "a", "model": "${m}"}, {"name": "b", "model": "${m}"}]
    assert [p.model for p in parsed(paths={"m": "x/y"}, participants=people).participants] == ["x/y", "x/y"]


def test_paths_can_be_set_from_the_command_line():
    assert (
        parsed("paths.d=other/data", paths={"d": "some/data"}, data={"source": "${d}"}).data.source
        == "other/data"
    )


def test_a_path_that_is_not_listed_is_refused():
    text = refusal(paths={"d": "some/data"}, data={"source": "${e}"})
    assert "${e} is not among its paths (d)" in text


def test_paths_are_named():
    assert "paths is 3, expected names" in refusal("paths=3")


def test_local_paths_count_from_the_plans_folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "rows.csv").write_text("text\na\n")
    people = [{"name": "a", "model": "model", "tokenizer": "model", "data": {"source": "rows.csv"}}]
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN | {"participants": people}))
    entry = load_plan(tmp_path / "plan.yaml").participants[0]
    assert (entry.model, entry.tokenizer) == (str(tmp_path / "model"), str(tmp_path / "model"))
    assert entry.data.source == str(tmp_path / "rows.csv")


def test_local_paths_count_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "rows.csv").write_text("text\na\n")
    monkeypatch.chdir(tmp_path / "here")
    plan = parse_plan(yaml.safe_dump(PLAN | {"data": {"source": "rows.csv"}}), "tiny", tmp_path)
    assert plan.data.source == str(tmp_path / "here" / "rows.csv")


def test_what_is_no_local_path_stays():
    assert parsed("data.source=owner/data").data.source == "owner/data"


# shipped plans


def test_a_copy_of_a_shipped_plan_is_the_same_plan(tmp_path):
    shutil.copy(shipped_plans()["digits"], tmp_path / "mine.yaml")
    assert load_plan(tmp_path / "mine.yaml") == load_plan("digits")


@pytest.mark.parametrize("setting", ["participants.1.model", "data.source", "name"])
def test_a_text_with_a_null_character_is_named(setting):
    with pytest.raises(FedgrowError, match=rf"{setting}: it holds a null character"):
        load_plan("digits", [f'{setting}="a\\0b"'])


@pytest.mark.parametrize(
    ("labels", "said"), [(["a", "b", "a"], "'a' is listed twice"), ([], "it lists none")]
)
def test_labels_are_some_and_differ(labels, said):
    text = refused(yaml.safe_dump(PLAN | {"data": PLAN["data"] | {"labels": labels}}))
    assert "data.labels" in text
    assert said in text
