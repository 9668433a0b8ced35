"""The run folder: made whole or not at all, and read back as it was written."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from fedgrow.errors import FedgrowError
from fedgrow.federated.resolve import resolve
from fedgrow.runs import folder as folders
from fedgrow.runs.folder import RunFolder, shard_of
from tests.federation import PLAN, tiny_plan


def created(path: Path, **changes) -> RunFolder:
    return RunFolder.create(path, resolve(tiny_plan(**changes)), "local")


def shard(run: RunFolder, name: str):
    return shard_of(run.plan, run.partition.shards, name)


def test_it_begins_with_plan_partition_environment_and_state(tmp_path):
    run = created(tmp_path / "run")
    names = sorted(f.name for f in run.path.iterdir())
    assert names == ["environment.json", "partition.json", "plan.yaml", "run.json"]
    assert (run.state["state"], run.state["engine"]) == ("running", "local")


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "run").mkdir()
    assert created(tmp_path / "run").plan.name == "tiny"


@pytest.mark.parametrize("name", ["summary.json", ".hidden"])
def test_a_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(
        FedgrowError, match="it is there already and not empty; choose another folder, or --resume"
    ):
        created(tmp_path)
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [(name, "mine")]


def test_a_file_is_refused_and_left_alone(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(FedgrowError, match="not empty"):
        created(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_a_folder_inside_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FedgrowError, match=r"--out .*: the folder cannot be made"):
        created(tmp_path / "file" / "run")


def test_a_folder_inside_one_that_the_plan_reads_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/texts.csv").write_text("text,label\na,b\n")
    plan = resolve(tiny_plan())
    inside = plan.model_copy(update={"data": plan.data.model_copy(update={"source": str(tmp_path / "data")})})
    with pytest.raises(FedgrowError, match=r"--out .*: it lies in .*data, which the plan reads"):
        RunFolder.create(tmp_path / "data" / "run", inside, "local")
    assert [f.name for f in (tmp_path / "data").iterdir()] == ["texts.csv"]


def test_the_working_directory_itself_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FedgrowError, match=r"--out \.: it is the working directory"):
        created(Path())


def test_data_that_does_not_fit_leaves_no_folder(tmp_path):
    with pytest.raises(FedgrowError, match="min_examples"):
        created(tmp_path / "new" / "run", partition={"kind": "iid", "min_examples": 500})
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_there_cannot_be_opened(tmp_path):
    with pytest.raises(FedgrowError, match="holds no run"):
        RunFolder.open(tmp_path)


CHANGES = {
    "as it is": {},
    "automatic": {"intermediate": "auto"},
    "tiny and endless numbers": {"training": {"clip_norm": math.inf, "head_learning_rate": 1e-12}},
    "own data": {
        "participants": [PLAN["participants"][0] | {"data": {"source": "bundled:digits", "limit": 30}}]
    },
    "strange label": {"data": PLAN["data"] | {"labels": [*map(str, range(10)), "é: [x] #1 'a'\n${b}"]}},
    "two-phase": {"schedule": {"kind": "two-phase", "local_steps": 3}},
    "strategy": {"strategy": {"name": "FedAdam", "options": {"eta": 0.1, "tau": 1e-9}}},
}


@pytest.mark.parametrize("case", CHANGES)
def test_the_plan_comes_back_from_its_file(tmp_path, case):
    plan = resolve(tiny_plan(**CHANGES[case]))
    RunFolder.create(tmp_path / "run", plan, "local")
    assert RunFolder(tmp_path / "run").plan == plan


def test_the_partition_comes_back_from_its_file(tmp_path):
    run = created(tmp_path / "run")
    assert RunFolder(run.path).partition.shards.keys() == {"ada", "bob", "cyd"}
    rows = [row for shard in run.partition.shards.values() for row in shard]
    assert sorted(rows) == list(range(120))


def test_the_same_plan_makes_the_same_partition(tmp_path):
    first, second, other = (created(tmp_path / n, seed=s) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    assert first.partition == second.partition
    assert first.partition.digest != other.partition.digest


def test_a_shard_is_what_the_partition_says(tmp_path):
    run = created(tmp_path / "run")
    rows = run.partition.shards["bob"]
    everything = folders.shared_source(run.plan)
    assert shard(run, "bob").labels == [everything.labels[row] for row in rows]


def test_own_data_is_the_shard(tmp_path):
    own = PLAN["participants"][0] | {"data": {"source": "bundled:digits", "limit": 30}}
    run = created(tmp_path / "run", participants=[own, PLAN["participants"][1]])
    assert (len(shard(run, "ada")), len(shard(run, "bob"))) == (30, 120)
    assert run.partition.shards.keys() == {"bob"}


def test_data_of_which_nothing_can_be_held_out_is_an_error_before_anything_is_written(tmp_path):
    own = PLAN["participants"][0] | {"data": {"source": "bundled:digits", "limit": 1}}
    with pytest.raises(FedgrowError, match="participant ada: a shard of 1 examples cannot be split"):
        created(tmp_path / "run", participants=[own, PLAN["participants"][1]])
    assert not any(tmp_path.iterdir())


def tamper(file: Path, change) -> None:
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["shards"]["ada"].pop(),
        lambda value: value["shards"]["ada"].append(value["shards"]["bob"][0]),
        lambda value: value["shards"].pop("cyd"),
        lambda value: value.update(digest="0" * 64),
    ],
)
def test_a_partition_that_was_changed_is_refused(tmp_path, change):
    run = created(tmp_path / "run")
    tamper(run.path / "partition.json", change)
    with pytest.raises(FedgrowError, match=r"the partition was changed: its digest is .*; start a new run"):
        shard(RunFolder(run.path), "ada")


def test_notes_are_added_to_the_state(tmp_path):
    run = created(tmp_path / "run")
    before = run.state
    run.note(state="failed", models=False)
    run.note(state="running")
    assert run.state == before | {"models": False}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"state": "running"}', '{"state": 1, "engine": "local", "data": {}}']
)
def test_a_damaged_state_is_named(tmp_path, text):
    run = created(tmp_path / "run")
    (run.path / "run.json").write_text(text)
    with pytest.raises(FedgrowError, match=r"run\.json: .*restore the file, .* or begin anew"):
        _ = run.state


def test_data_that_stayed_the_same_may_go_on(tmp_path):
    RunFolder.open(created(tmp_path / "run").path).check_same()


def test_data_that_changed_since_is_refused_by_whose_it_is(tmp_path):
    np.savez(tmp_path / "own.npz", image=np.zeros((20, 8, 8), dtype=np.uint8), label=np.arange(20) % 2)
    own = PLAN["participants"][0] | {"data": {"source": str(tmp_path / "own.npz")}}
    run = created(tmp_path / "run", participants=[own, PLAN["participants"][1]])
    np.savez(tmp_path / "own.npz", image=np.ones((20, 8, 8), dtype=np.uint8), label=np.arange(20) % 2)
    folders.forget_sources()  # as in a new process
    with pytest.raises(FedgrowError, match="--resume: the data of ada changed since the run began"):
        RunFolder.open(run.path).check_same()


def test_a_plan_that_was_changed_in_the_folder_is_refused(tmp_path):
    run = created(tmp_path / "run")
    plan = run.path / "plan.yaml"
    text = plan.read_text("utf-8")
    plan.write_text(text.replace("rounds:", "rounds:  "), "utf-8")
    with pytest.raises(FedgrowError, match=r"plan\.yaml was changed since the run began"):
        RunFolder.open(run.path).check_same()
    plan.write_text(text, "utf-8")
    RunFolder.open(run.path).check_same()


def test_files_that_changed_since_the_run_began_are_named(tmp_path):
    model = tmp_path / "small"
    model.mkdir()
    (model / "config.json").write_text("{}")
    run = created(tmp_path / "run")
    plan = run.plan.with_paths(lambda value: value)
    people = (plan.participants[0].model_copy(update={"model": str(model)}), *plan.participants[1:])
    other = RunFolder.create(tmp_path / "other", plan.model_copy(update={"participants": people}), "local")
    assert run.changed() is other.changed() is None
    other.check_same()
    (model / ".DS_Store").write_text("a desktop's")
    other.check_same()
    (model / "config.json").write_text("{ }")
    with pytest.raises(FedgrowError, match="--resume: what lies in small changed since the run began; bring"):
        other.check_same()
