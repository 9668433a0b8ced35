"""Results that another machine, or an earlier day, found."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from fedgrow.cli.app import app
from fedgrow.comparison.experiments import bare
from fedgrow.comparison.results import gather, write_table
from fedgrow.comparison.run import StudyRun
from fedgrow.config.plan import Plan
from fedgrow.errors import FedgrowError
from fedgrow.runs.inputs import inputs
from tests.comparison.studies import METHODS, study
from tests.federation import tiny_plan


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The results of one seed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    work = StudyRun(study(folder, methods=METHODS, seeds=[0]), folder / "out")
    assert work.run(2, lambda *what: None) == {}
    write_table(gather(work), folder)
    return folder / "results.parquet"


def test_known_results_are_not_run_again_and_stand_in_the_table(table, tmp_path):
    work = StudyRun(study(tmp_path, methods=METHODS, seeds=[0, 1]), tmp_path / "out", [table])
    settings, left = work.to_do()
    assert {e.setting.seed for e in left} == {1} == {s.seed for s in settings}
    assert len(left) == len(METHODS)
    pd.testing.assert_frame_equal(gather(work), pd.read_parquet(table))


def test_a_result_of_another_plan_is_refused_by_name(table, tmp_path):
    other = study(tmp_path, methods=METHODS, seeds=[0], set={"training.batch_size": 4})
    with pytest.raises(FedgrowError, match=r"together/plan-plan-0 is of another plan \(training\)"):
        StudyRun(other, tmp_path / "out", [table])
    assert not (tmp_path / "out").exists()


def test_a_result_is_known_whatever_its_approach_does_not_go_by(table, tmp_path):
    """The small model fine-tuned locally is the same under another operator; what is grown together is not."""
    changed = {"operator.rank": 1, "strategy.name": "FedMedian"}
    assert METHODS["small"]["approach"] == "small"
    only = study(tmp_path, methods={"small": METHODS["small"]}, seeds=[0], set=changed)
    assert StudyRun(only, tmp_path / "out", [table]).to_do()[1] == []
    both = study(tmp_path, methods=METHODS, seeds=[0], set=changed)
    with pytest.raises(FedgrowError, match=r"together/plan-plan-0 is of another plan \(operator, strategy\)"):
        StudyRun(both, tmp_path / "other", [table])


def test_a_result_follows_from_settings_that_its_method_may_not_set(tmp_path):
    """The probe's features are of texts as long as training has them."""
    probe = {"probe": {"approach": "linear-probe"}}
    work = StudyRun(study(tmp_path, methods=probe, seeds=[0]), tmp_path / "out")
    assert work.run(1, lambda *what: None) == {}
    write_table(gather(work), tmp_path)
    table = tmp_path / "results.parquet"
    other = study(tmp_path, methods=probe, seeds=[0], set={"training.max_length": 7, "operator.rank": 1})
    with pytest.raises(FedgrowError, match=r"probe/plan-plan-0 is of another plan \(training\)"):
        StudyRun(other, tmp_path / "again", [table])


def test_what_was_grown_by_other_code_is_refused(table, tmp_path):
    """The same plan may mean another operator there; of the small model fine-tuned locally that is not so."""
    lines = pd.read_parquet(table)
    versions = [json.dumps(json.loads(text) | {"fedgrow": "0.1.0+00000000"}) for text in lines["versions"]]
    lines.assign(versions=versions).to_parquet(tmp_path / "old.parquet")
    only = study(tmp_path, methods={"small": METHODS["small"]}, seeds=[0])
    assert StudyRun(only, tmp_path / "out", [tmp_path / "old.parquet"]).to_do()[1] == []
    both = study(tmp_path, methods=METHODS, seeds=[0])
    with pytest.raises(
        FedgrowError, match=r"together/plan-plan-0 is of fedgrow 0\.1\.0\+00000000, this is 0\.1\.0\+"
    ):
        StudyRun(both, tmp_path / "other", [tmp_path / "old.parquet"])


def save(file, seed):
    images = np.random.default_rng(seed).random((40, 8, 8), dtype=np.float32)
    np.savez(file, image=images, label=np.arange(40) % 2)


def on_file(folder, file, methods):
    """A study of images in a file."""
    source = {"data.source": str(file), "data.limit": None, "partition.min_examples": 4}
    return study(folder, methods={name: {"approach": name} for name in methods}, seeds=[0], set=source)


@pytest.fixture
def measured(tmp_path):
    """One experiment on ``d.npz`` in ``out``, and its table."""
    save(tmp_path / "d.npz", 0)
    work = StudyRun(on_file(tmp_path, tmp_path / "d.npz", ["small"]), tmp_path / "out")
    assert work.run(1, lambda *what: None) == {}
    write_table(gather(work), tmp_path)
    return work


def test_a_result_on_other_files_of_the_same_name_is_refused(measured, tmp_path):
    known = tmp_path / "results.parquet"
    assert StudyRun(measured.study, tmp_path / "again", [known]).to_do()[1] == []
    (tmp_path / "elsewhere").mkdir()
    save(tmp_path / "elsewhere" / "d.npz", 1)
    elsewhere = on_file(tmp_path, tmp_path / "elsewhere" / "d.npz", ["small"])
    with pytest.raises(FedgrowError, match=r"of other files under the same names \(d\.npz\)"):
        StudyRun(elsewhere, tmp_path / "again", [known])


def test_a_study_does_not_go_on_with_a_file_that_was_changed(measured, tmp_path):
    save(tmp_path / "d.npz", 1)
    with pytest.raises(FedgrowError, match=r"was run on other files under the same names \(d\.npz\)"):
        StudyRun(measured.study, tmp_path / "out")


def test_each_participants_own_file_is_known_by_its_place(tmp_path):
    """Two files of one name, the other way round."""
    plans = []
    for pair in (("a", "b"), ("b", "a")):
        people = [tiny_plan().participants[0].model_dump() for _ in pair]
        for number, (person, folder) in enumerate(zip(people, pair, strict=True)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / "d.csv").write_text(folder)
            person |= {"name": f"p{number}", "data": {"source": str(tmp_path / folder / "d.csv")}}
        plans.append(tiny_plan(participants=people, data=None))
    assert bare(plans[0]) == bare(plans[1])
    assert inputs(plans[0]) == inputs(plans[1])[::-1] != inputs(plans[1])


def test_results_of_other_held_out_rows_are_refused(measured, tmp_path):
    lines = pd.read_parquet(tmp_path / "results.parquet").assign(split="another")
    lines.to_parquet(tmp_path / "other.parquet")
    both = on_file(tmp_path, tmp_path / "d.npz", ["small", "independent"])
    work = StudyRun(both, tmp_path / "new", [tmp_path / "other.parquet"])
    with pytest.raises(FedgrowError, match="small/plan-plan-0 is of other training and held-out rows"):
        work.run(1, lambda *what: None)
    with pytest.raises(FedgrowError, match="small/plan-plan-0 is of other training and held-out rows"):
        StudyRun(both, tmp_path / "new", [tmp_path / "other.parquet"])


def test_an_experiment_does_not_go_by_other_rows_than_its_setting(measured, tmp_path):
    record = tmp_path / "out" / "settings" / "plan-plan-0" / "done.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"split": "another"}))
    both = on_file(tmp_path, tmp_path / "d.npz", ["small", "independent"])
    failed = StudyRun(both, tmp_path / "out").run(1, lambda *what: None)
    assert list(failed) == ["independent/plan-plan-0"]
    assert "the train/test split differs" in failed["independent/plan-plan-0"]


def test_a_line_holds_no_path_and_reads_as_a_plan(table):
    for text in pd.read_parquet(table)["plan"]:
        assert "/" not in json.dumps(json.loads(text))
        plan = Plan.model_validate_json(text)
        assert bare(plan) == plan


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(FedgrowError, match=r"--known .*x\.parquet: no table of results"):
        StudyRun(study(tmp_path, methods=METHODS), tmp_path / "out", [tmp_path / "x.parquet"])
    pd.DataFrame({"method": ["a"]}).to_parquet(tmp_path / "y.parquet")
    with pytest.raises(FedgrowError, match="lacks inputs, partition, plan, seed, split, task, versions"):
        StudyRun(study(tmp_path, methods=METHODS), tmp_path / "out", [tmp_path / "y.parquet"])


def test_a_study_of_which_all_is_known_can_be_gone_on_with(table, tmp_path):
    asked = study(tmp_path, methods=METHODS, seeds=[0])
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(asked.model_dump(mode="json")))
    command = ["compare", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "out"), "--known", str(table)]
    for _ in range(2):
        outcome = CliRunner().invoke(app, command)
        assert outcome.exit_code == 0, outcome.output
    assert (tmp_path / "out" / "study.yaml").is_file()
