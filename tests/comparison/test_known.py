"""Results that another machine, or an earlier day, found."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fedgrow.cli.app import app
from fedgrow.comparison.experiments import bare
from fedgrow.comparison.results import gather, write_table
from fedgrow.comparison.run import Work
from fedgrow.config.plan import Plan
from fedgrow.errors import FedgrowError
from tests.comparison.studies import METHODS, study


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The results of one seed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    work = Work(study(folder, methods=METHODS, seeds=[0]), folder / "out")
    assert work.run(2, lambda *what: None) == {}
    write_table(gather(work), folder)
    return folder / "results.parquet"


def test_known_results_are_not_run_again_and_stand_in_the_table(table, tmp_path):
    work = Work(study(tmp_path, methods=METHODS, seeds=[0, 1]), tmp_path / "out", [table])
    settings, left = work.to_do()
    assert {e.setting.seed for e in left} == {1} == {s.seed for s in settings}
    assert len(left) == len(METHODS)
    pd.testing.assert_frame_equal(gather(work), pd.read_parquet(table))


def test_a_result_of_another_plan_is_refused_by_name(table, tmp_path):
    other = study(tmp_path, methods=METHODS, seeds=[0], set={"training.batch_size": 4})
    with pytest.raises(FedgrowError, match=r"together/plan-plan-0 is of another plan \(training\)"):
        Work(other, tmp_path / "out", [table])
    assert not (tmp_path / "out").exists()


def test_a_result_on_other_files_of_the_same_name_is_refused(tmp_path):
    def of(folder):
        images = np.random.default_rng(len(folder)).random((40, 8, 8), dtype=np.float32)
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "d.npz", image=images, label=np.arange(40) % 2)
        source = {
            "data.source": str(tmp_path / folder / "d.npz"),
            "data.limit": None,
            "partition.min_examples": 4,
        }
        return study(tmp_path, methods={"small": {"approach": "small"}}, seeds=[0], set=source)

    work = Work(of("here"), tmp_path / "out")
    assert work.run(1, lambda *what: None) == {}
    write_table(gather(work), tmp_path)
    known = tmp_path / "results.parquet"
    assert Work(work.study, tmp_path / "again", [known]).to_do()[1] == []
    with pytest.raises(FedgrowError, match=r"of other files under the same names \(d\.npz\)"):
        Work(of("elsewhere"), tmp_path / "again", [known])


def test_a_line_holds_no_path_and_reads_as_a_plan(table):
    for text in pd.read_parquet(table)["plan"]:
        assert "/" not in json.dumps(json.loads(text))
        plan = Plan.model_validate_json(text)
        assert bare(plan) == plan


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(FedgrowError, match=r"--known .*x\.parquet: no table of results"):
        Work(study(tmp_path, methods=METHODS), tmp_path / "out", [tmp_path / "x.parquet"])
    pd.DataFrame({"method": ["a"]}).to_parquet(tmp_path / "y.parquet")
    with pytest.raises(FedgrowError, match="lacks inputs, partition, plan, seed, task"):
        Work(study(tmp_path, methods=METHODS), tmp_path / "out", [tmp_path / "y.parquet"])


def test_the_command_takes_tables(table):
    assert "--known" in CliRunner().invoke(app, ["compare", "--help"], terminal_width=200).output
