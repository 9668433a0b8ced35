"""A whole run: what it leaves, that it is deterministic, that it can be broken and resumed, and both engines agree."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification

from fedgrow.architectures.models import quiet
from fedgrow.disk.atomic import read_arrays, read_json, write_arrays
from fedgrow.disk.events import listen, stop_listening
from fedgrow.errors import FedgrowError
from fedgrow.federated.member import member_at
from fedgrow.federated.simulate import simulate
from fedgrow.runs.folder import RunFolder
from tests.federation import run_tiny

BASELINES = ["small", "independent", "fedavg"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[RunFolder, dict]:
    out = tmp_path_factory.mktemp("e2e") / "run"
    summary = run_tiny(out, baselines=BASELINES)
    return RunFolder(out), summary


def operator(folder: RunFolder) -> bytes:
    return (folder.path / "operator" / "operator.safetensors").read_bytes()


def test_the_run_folder_is_complete(run):
    folder, summary = run
    for name in (
        "plan.yaml",
        "environment.json",
        "partition.json",
        "events.jsonl",
        "rounds",
        "operator",
        "report.md",
    ):
        assert (folder.path / name).exists(), name
    assert json.loads((folder.path / "summary.json").read_text()) == summary
    assert folder.state["state"] == "finished"
    events = [json.loads(line)["event"] for line in (folder.path / "events.jsonl").read_text().splitlines()]
    assert events[-1] == "finished"


def test_the_summary_has_what_the_report_needs(run):
    _, summary = run
    person = summary["participants"][0]
    assert {"name", "small", "grown", "parity", "model_dir"} <= set(person)
    assert {"shape", "parameters", "metrics"} <= set(person["small"]) & set(person["grown"])
    assert set(summary["baselines"]) == set(BASELINES)
    assert {"metrics_mean", "metrics_std", "metrics_min"} <= set(summary["baselines"]["small"])
    assert {"bytes_up", "bytes_down", "arrays"} <= set(summary["exchange"])
    assert {"large", "global_operator", "local_operator"} <= set(summary["parameters"])
    assert (summary["rounds"], summary["seed"]) == (2, 0)


def test_grown_models_load_plainly_and_score_what_was_reported(run):
    folder, summary = run
    for index, person in enumerate(summary["participants"]):
        where = folder.path / person["model_dir"]
        with quiet():
            model = AutoModelForImageClassification.from_pretrained(where)
            AutoImageProcessor.from_pretrained(where)
        site = member_at(str(folder.path), index, "dual-ligo")
        inputs, targets = site.codec.batch(site.test_data, range(len(site.test_data)))
        with torch.no_grad():
            predicted = model(**inputs).logits.argmax(-1)
        assert float((predicted == targets).float().mean()) == pytest.approx(
            person["grown"]["metrics"]["accuracy"]
        )
        assert person["grown"]["shape"] == folder.plan.large.model_dump()


def test_growth_starts_at_the_quality_of_the_small_models(run):
    _, summary = run
    for person in summary["participants"]:
        assert person["parity"]["max_abs"] < 1e-5 * max(1.0, person["parity"]["logits_max_abs"])
        assert person["start"]["metrics"]["accuracy"] == person["small"]["metrics"]["accuracy"]


def test_training_moves_the_operator(run):
    folder, _ = run
    start = member_at(str(folder.path), 0, "dual-ligo").shared_start
    from safetensors.torch import load_file

    end = load_file(folder.path / "operator" / "operator.safetensors")
    moved = [name for name, tensor in start.items() if not torch.equal(tensor, end[name])]
    assert len(moved) > len(start) / 2


def test_the_same_seed_gives_the_same_result_bit_for_bit(run, tmp_path):
    folder, summary = run
    again = run_tiny(tmp_path / "again", baselines=BASELINES)
    assert operator(RunFolder(tmp_path / "again")) == operator(folder)
    assert again == summary


def test_another_seed_gives_another_result(run, tmp_path):
    folder, _ = run
    run_tiny(tmp_path / "other", seed=1)
    assert operator(RunFolder(tmp_path / "other")) != operator(folder)


class Pull:
    """Pulls the plug after so many messages."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, way: str, data: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


STRATEGIES = {"FedAvg": {"name": "FedAvg"}, "FedAdam": {"name": "FedAdam", "options": {"eta": 0.01}}}


@pytest.fixture(scope="module", params=STRATEGIES.values(), ids=STRATEGIES)
def whole(request, tmp_path_factory) -> tuple[dict, RunFolder, dict]:
    """A strategy, and a run with it that was not broken."""
    out = tmp_path_factory.mktemp("whole") / "run"
    summary = run_tiny(out, strategy=request.param)
    return request.param, RunFolder(out), summary


# 3 participants: prepare 6 messages, then 12 a round (train and evaluate), then save 6
@pytest.mark.parametrize("after", [2, 8, 13, 20, 25, 32])
def test_a_broken_run_resumes_to_the_same_result(tmp_path, after, whole):
    strategy, unbroken, summary = whole
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "broken", tap=Pull(after), strategy=strategy)
    assert not (tmp_path / "broken" / "summary.json").exists()
    assert read_json(tmp_path / "broken" / "run.json")["state"] == "interrupted"
    member_at.cache_clear()
    resumed = simulate(None, tmp_path / "broken", resume=True)
    assert operator(RunFolder(tmp_path / "broken")) == operator(unbroken)
    assert resumed["participants"] == summary["participants"]


def test_a_run_that_holds_other_arrays_is_not_gone_on_with(tmp_path):
    """An earlier fedgrow began it, whose operator had other ones."""
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "run", tap=Pull(20))
    file = max((tmp_path / "run" / "rounds").glob("*/shared.safetensors"))
    arrays = read_arrays(file)
    gone = arrays.pop(max(arrays))
    write_arrays(file, arrays)
    member_at.cache_clear()
    said = (
        rf"array '.*' has shape None, this fedgrow makes \({gone.shape[0]}, .* another version began the run"
    )
    with pytest.raises(FedgrowError, match=said):
        simulate(None, tmp_path / "run", resume=True)


def test_a_finished_run_resumes_to_its_own_summary(run):
    folder, summary = run
    assert simulate(None, folder.path, resume=True) == summary


def test_resuming_with_another_plan_is_refused(run):
    folder, _ = run
    with pytest.raises(FedgrowError, match="differs"):
        run_tiny(folder.path, resume=True, seed=5)


def test_resuming_with_changed_data_is_refused(tmp_path):
    file = tmp_path / "images.npz"
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 16, (90, 8, 8)).astype(np.uint8), np.arange(90) % 3
    data = {"source": str(file), "image": "images", "label": "labels"}
    np.savez(file, images=images, labels=labels)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "run", tap=Pull(8), data=data)
    np.savez(file, images=255 - images, labels=labels)
    with pytest.raises(FedgrowError, match="the plan changed"):
        simulate(None, tmp_path / "run", resume=True)


@pytest.mark.ray
def test_both_engines_give_the_same_operator(run, tmp_path):
    folder, summary = run
    heard = []
    listen(tmp_path / "ray", heard.append)
    over_ray = run_tiny(tmp_path / "ray", engine="ray")
    stop_listening(tmp_path / "ray")
    assert [e["round"] for e in heard if e["event"] == "round"] == [0, 1, 2]
    assert operator(RunFolder(tmp_path / "ray")) == operator(folder)
    assert over_ray["participants"] == summary["participants"]
    assert not (tmp_path / "ray" / ".flwr").exists()


@pytest.mark.ray
def test_a_failure_under_ray_is_told(tmp_path):
    with pytest.raises(FedgrowError, match="the loss is"):
        run_tiny(tmp_path / "ray", engine="ray", prepare={"steps": 3, "learning_rate": 1e30})
    assert read_json(tmp_path / "ray" / "run.json")["state"] == "failed"
