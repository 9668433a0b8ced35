"""A study from beginning to end, stopped and gone on with."""

import json
import os
import shutil
import signal

import pandas as pd
import pytest
import yaml

from fedgrow.architectures import Shape
from fedgrow.comparison import execute
from fedgrow.comparison.execute import is_done
from fedgrow.comparison.report import write_report
from fedgrow.comparison.results import body_size, gather, write_table
from fedgrow.comparison.run import StudyRun
from fedgrow.config.plan import Plan
from fedgrow.disk.lock import Lock
from fedgrow.errors import FedgrowError
from fedgrow.runs.folder import RunFolder
from tests.comparison.studies import METHODS, study
from tests.federation import run_tiny, tiny_plan

PEOPLE = ("ada", "bob", "cyd")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished study of three methods and two seeds, and what was told on the way."""
    folder = tmp_path_factory.mktemp("study")
    work = StudyRun(
        study(folder, methods=METHODS | {"fedavg": {"approach": "fedavg"}}, seeds=[0, 1]), folder / "out"
    )
    told = []
    failed = work.run(2, lambda *what: told.append(what))
    assert failed == {}
    return work, told


def test_every_experiment_is_a_line(done):
    work, told = done
    assert sorted(told) == sorted(
        [("setting", s.name, None) for s in work.settings]
        + [("experiment", e.name, None) for e in work.all()]
    )
    frame = gather(work)
    assert len(frame) == 8
    assert work.to_do() == ([], [])
    assert (
        not frame[["accuracy_mean", "accuracy_worst", "macro_f1_mean", "seconds", "peak_memory"]]
        .isna()
        .any()
        .any()
    )
    assert (frame["accuracy_worst"] <= frame["accuracy_mean"]).all()
    write_table(frame, work.out)
    pd.testing.assert_frame_equal(pd.read_parquet(work.out / "results.parquet"), frame)


def test_a_line_says_what_a_run_of_the_plan_says(done, tmp_path):
    """The same plan, run by ``simulate``, has the same metrics: an experiment is an ordinary run."""
    work, _ = done
    line = gather(work).query("method == 'together' and seed == 0").iloc[0]
    summary = run_tiny(tmp_path / "run", baselines=["small"])
    assert line["accuracy_mean"] == summary["grown"]["metrics_mean"]["accuracy"]
    assert line["accuracy_worst"] == summary["grown"]["metrics_min"]["accuracy"]
    assert line["shared"] == summary["parameters"]["global_operator"]
    small = gather(work).query("method == 'small' and seed == 0").iloc[0]
    assert small["loss_mean"] == summary["baselines"]["small"]["metrics_mean"]["loss"]


def test_costs(done):
    work, _ = done
    frame = gather(work).set_index(["method", "seed"])
    together, fedavg, small, tied = (frame.loc[(name, 0)] for name in ("together", "fedavg", "small", "tied"))
    assert (small["bytes_up"], small["bytes_down"], small["shared"]) == (0, 0, 0)
    assert together["bytes_up"] < tied["bytes_up"] < fedavg["bytes_up"]
    assert (
        together["bytes_up"] > 2 * 3 * 4 * together["shared"]
    )  # rounds, participants, float32, and some framing
    assert together["bytes_down"] > together["bytes_up"]  # evaluation's broadcast comes on top
    assert small["flops"] < together["flops"]
    assert together["readying_flops"] == small["readying_flops"] > 0
    assert fedavg["readying_flops"] == 0
    assert small["trained"] == small["model"] < together["model"] == fedavg["model"] == fedavg["trained"]
    assert together["trained"] < tied["trained"] < together["model"]
    curve = json.loads(together["curve"])
    assert [point["round"] for point in curve] == [1, 2]
    assert curve[-1]["value"] == together["accuracy_mean"]
    assert curve[-1]["flops"] == together["flops"] == 2 * curve[0]["flops"]
    assert curve[-1]["bytes"] == together["bytes_up"] + together["bytes_down"]


def test_all_methods_begin_with_the_small_models_of_their_setting(done, tmp_path, monkeypatch):
    work, _ = done

    def small(folder):
        return [
            (RunFolder(folder).participant(n) / "private/small/model.safetensors").read_bytes()
            for n in PEOPLE
        ]

    def begun(run, approach):
        seen[approach] = small(run.path)
        raise FedgrowError("enough")

    seen = {}
    monkeypatch.setattr(execute, "carry_out", begun)
    for one in work.experiments["plan-plan-0"]:
        with pytest.raises(FedgrowError, match="enough"):
            execute.experiment(
                tmp_path / one.method,
                work.folder(one.setting),
                one.approach,
                yaml.safe_dump(one.plan.model_dump(mode="json")),
            )
    assert list(seen) == ["dual-ligo", "small", "fedavg"]
    assert all(models == small(work.folder(work.settings[0])) for models in seen.values())


def test_what_is_done_keeps_no_models(done):
    """A study of a hundred experiments would fill a disk with them; those of settings serve methods that come later."""
    work, _ = done
    for one in work.all():
        assert not list(work.folder(one).rglob("model.safetensors"))
        assert {"participants", "baselines"}.isdisjoint(path.name for path in work.folder(one).iterdir())
    assert len(list(work.folder(work.settings[0]).rglob("model.safetensors"))) == len(PEOPLE)


def test_what_is_missing_is_done_anew_and_is_the_same(done, tmp_path):
    work, _ = done
    copy = StudyRun(work.study, tmp_path / "out")
    shutil.copytree(work.out, copy.out)
    before = gather(copy)
    victim = copy.experiments["plan-plan-1"][0]
    shutil.rmtree(copy.folder(victim))
    assert [e.name for e in copy.to_do()[1]] == [victim.name]
    assert copy.run(1, lambda *_: None) == {}
    after, changing = gather(copy), ["seconds", "peak_memory", "finished"]
    pd.testing.assert_frame_equal(after.drop(columns=changing), before.drop(columns=changing))


def test_a_part_of_an_experiment_has_neither_seconds_nor_a_peak(done, tmp_path):
    work, _ = done
    copy = StudyRun(work.study, tmp_path / "out")
    shutil.copytree(work.out, copy.out)
    victim = copy.experiments["plan-plan-1"][0]
    (copy.folder(victim) / "done.json").unlink()
    assert copy.run(1, lambda *_: None) == {}
    line = gather(copy).query(f"method == {victim.method!r} and seed == 1").iloc[0]
    assert line[["seconds", "peak_memory"]].isna().all()
    write_report(work.study, gather(copy), copy.out, {}, 0)
    assert "nan" not in (copy.out / "report.md").read_text("utf-8")


def test_methods_and_seeds_may_be_added(done, tmp_path):
    work, _ = done
    shutil.copytree(work.out, tmp_path / "out")
    more = StudyRun(
        study(tmp_path, methods=METHODS | {"alone": {"approach": "independent"}}, seeds=[0]), tmp_path / "out"
    )
    assert [e.name for e in more.to_do()[1]] == ["alone/plan-plan-0"]


def test_a_changed_plan_does_not_mix_with_what_is_done(done, tmp_path):
    work, _ = done
    shutil.copytree(work.out, tmp_path / "out")
    with pytest.raises(FedgrowError, match="plan-plan-0 holds an experiment with another plan"):
        StudyRun(study(tmp_path, seeds=[0], set={"schedule.rounds": 3}), tmp_path / "out")


def test_one_failure_leaves_the_others(tmp_path):
    work = StudyRun(
        study(tmp_path, methods={"together": {}, "wild": {"set": {"operator.learning_rate": 1e30}}}),
        tmp_path / "out",
    )
    failed = work.run(2, lambda *_: None)
    assert list(failed) == ["wild/plan-plan-0"]
    assert "participant ada" in failed["wild/plan-plan-0"]
    assert is_done(work.folder(work.all()[0]))
    write_report(work.study, gather(work), work.out, failed, 1)
    assert "**failed**: wild/plan-plan-0" in (work.out / "report.md").read_text()


def _killed(*_) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_ends_the_study_in_words_and_the_same_command_goes_on(tmp_path, monkeypatch):
    work = StudyRun(study(tmp_path, methods={"small": {"approach": "small"}}), tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("fedgrow.comparison.run.experiment", _killed)
        with pytest.raises(
            FedgrowError, match=r"a worker was ended from outside .* the same command goes on"
        ):
            work.run(2, lambda *_: None)
    again = StudyRun(work.study, work.out)
    assert [s.name for s in again.to_do()[0]] == []
    assert again.run(1, lambda *_: None) == {}


def test_the_report_stands_alone(done):
    work, _ = done
    write_report(work.study, gather(work), work.out, {}, 0)
    page, text = ((work.out / name).read_text("utf-8") for name in ("report.html", "report.md"))
    for name in work.study.methods:
        assert f"`{name}`" in text
        assert name in page
    assert page.count("<svg") == 3
    assert "http" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert "<script" not in page
    figures = sorted(p.name for p in (work.out / "figures").iterdir())
    assert figures == ["0-bytes.svg", "0-flops.svg", "0-round.svg"]
    assert all(f"figures/{name}" in text for name in figures)


def test_the_large_body_is_counted_without_its_tables():
    plan = tiny_plan()
    width, ffn, layers = plan.large.width, plan.large.ffn, plan.large.layers
    attention = 4 * (width * width + width)
    block = attention + 2 * width * ffn + ffn + width + 4 * width
    assert body_size(plan) == layers * block + 2 * width + width  # the last norm, and the patches' bias


def test_the_large_body_of_t5_is_that_of_the_task():
    shape = {"layers": 2, "decoder_layers": 2, "width": 16, "heads": 2, "ffn": 24}
    plan = Plan.model_construct(family="t5", large=Shape(**shape), task="token-classification")
    encoder = body_size(plan)
    assert encoder < body_size(plan.model_copy(update={"task": "sequence-classification"})) / 2


def test_an_experiment_is_an_ordinary_run_folder(done):
    work, _ = done
    run = RunFolder(work.folder(work.all()[0]))
    assert run.plan == work.all()[0].plan
    assert (run.path / "partition.json").is_file()


def test_rounds_that_not_all_take_part_in_are_reported(tmp_path):
    """Evaluated along, a participant that is away has no figure of that round."""
    changes = {"schedule": {"rounds": 3, "steps": 1, "evaluation": "along", "participation": 0.34}}
    once = {"approach": "independent", "set": {"schedule.rounds": 1, "schedule.steps": 3}}
    methods = {
        "together": {},
        "alone": {"approach": "independent"},
        "small": {"approach": "small"},
        "once": once,
    }
    work = StudyRun(study(tmp_path, methods=methods, set=changes), tmp_path / "out")
    assert work.run(2, lambda *what: None) == {}
    frame = gather(work)
    curves = [json.loads(text) for text in frame["curve"]]
    assert [[point["round"] for point in curve] for curve in curves] == [[1, 2, 3], [1, 2, 3], [1, 2, 3], [1]]
    write_report(work.study, frame, tmp_path / "out", {}, 0)
    said = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert "nan" not in said
    assert "1 to 3 rounds" in said
    line, body = frame.query("method == 'together'").iloc[0], 4 * body_size(work.settings[0].plan)
    assert f"| {line['bytes_up'] / 3 / body:.2%} |" in said  # one of three sends in each of three rounds


def test_one_process_at_a_time(tmp_path):
    work = StudyRun(study(tmp_path, methods={"small": {"approach": "small"}}), tmp_path / "out")
    (tmp_path / "out").mkdir()
    with Lock(tmp_path / "out"), pytest.raises(FedgrowError, match="is at work in it"):
        work.run(1, lambda *what: None)
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".lock"]
    assert StudyRun(work.study, tmp_path / "out").run(1, lambda *what: None) == {}


def test_what_another_version_left_is_told(done, tmp_path):
    work, _ = done
    shutil.copytree(work.out, tmp_path / "out")
    file = next((tmp_path / "out/experiments").rglob("done.json"))
    record = json.loads(file.read_text())
    del record["split"]
    file.write_text(json.dumps(record))
    with pytest.raises(
        FedgrowError, match="does not say 'split': another version of fedgrow wrote it; choose another --out"
    ):
        StudyRun(work.study, tmp_path / "out")
