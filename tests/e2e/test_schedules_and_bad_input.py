"""Schedules over the whole way, and input that a run declares how to handle."""

import math
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file

from fedgrow.disk.atomic import read_json
from fedgrow.errors import FedgrowError
from fedgrow.federated.member import member_at
from fedgrow.runs.folder import RunFolder
from tests.federation import PLAN, run_tiny


def local_state(folder: RunFolder, name: str, server_round: int) -> dict:
    state = load_file(
        folder.participant(name) / "private" / "state" / f"round-{server_round:04d}.safetensors"
    )
    return {key: tensor for key, tensor in state.items() if key.startswith("local/")}


def same(a: dict, b: dict) -> bool:
    return all((a[key] == b[key]).all() for key in a)


def test_two_phase_trains_local_ligo_first_and_then_leaves_it_alone(tmp_path):
    run_tiny(tmp_path / "run", schedule={"kind": "two-phase", "rounds": 2, "steps": 2, "local_steps": 2})
    folder = RunFolder(tmp_path / "run")
    for index, name in enumerate(folder.plan.names):
        start = member_at(str(folder.path), index, "dual-ligo").learner.private_start()
        first, last = local_state(folder, name, 0), local_state(folder, name, 2)
        assert not same(first, start)
        assert same(first, last)


def test_joint_trains_local_ligo_in_every_round(tmp_path):
    run_tiny(tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert not same(local_state(folder, "ada", 1), local_state(folder, "ada", 2))


@pytest.mark.parametrize("kind", ["dense", "tied", "low-rank"])
def test_every_operator_runs_on_both_sides(tmp_path, kind):
    summary = run_tiny(tmp_path / "run", operator={"kind": kind}, local_operator={"kind": kind})
    assert summary["parameters"]["global_operator"] == sum(
        math.prod(a["shape"]) for a in summary["exchange"]["arrays"]
    )


def test_as_published_starts_from_noise_and_runs(tmp_path):
    xavier = {"kind": "dense", "start": "xavier"}
    summary = run_tiny(tmp_path / "run", operator=xavier, local_operator=xavier)
    assert summary["participants"][0]["parity"]["max_abs"] > 1e-3
    assert not any("norm.in" in a["name"] for a in summary["exchange"]["arrays"])


def test_small_weights_may_be_trained_and_are_still_not_sent(tmp_path):
    summary = run_tiny(tmp_path / "run", training={"batch_size": 8, "train_small": True})
    folder = RunFolder(tmp_path / "run")
    state = load_file(folder.participant("ada") / "private" / "state" / "round-0002.safetensors")
    assert any(key.startswith("small/vit.layers") for key in state)
    assert not any("small/" in a["name"] for a in summary["exchange"]["arrays"])


def test_a_loss_that_is_not_finite_ends_the_run_and_names_participant_and_step(tmp_path):
    with pytest.raises(FedgrowError, match=r"participant ada.*step"):
        run_tiny(tmp_path / "run", prepare={"steps": 3, "learning_rate": 1e30})
    assert not (tmp_path / "run" / "summary.json").exists()
    assert read_json(tmp_path / "run" / "run.json")["state"] == "failed"


def test_a_participant_with_one_class_takes_part(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "ones.npz"
    np.savez(file, images=rng.integers(0, 16, (30, 8, 8)).astype(np.uint8), labels=np.full(30, 7))
    own = {"source": str(file), "image": "images", "label": "labels"}
    people = [PLAN["participants"][0] | {"data": own}, *PLAN["participants"][1:]]
    summary = run_tiny(tmp_path / "run", participants=people, baselines=["small"])
    assert summary["participants"][0]["grown"]["metrics"]["accuracy"] == 1.0


def test_an_empty_shard_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(FedgrowError, match="examples"):
        run_tiny(tmp_path / "run", partition={"kind": "iid", "min_examples": 1000})
    assert not (tmp_path / "run").exists()


def test_every_baseline_runs_beside_two_phases(tmp_path):
    schedule = {"kind": "two-phase", "rounds": 2, "steps": 2, "local_steps": 2}
    summary = run_tiny(tmp_path / "run", schedule=schedule, baselines=["small", "independent", "fedavg"])
    assert set(summary["baselines"]) == {"small", "independent", "fedavg"}


def test_fedavg_averages_only_what_is_the_same_everywhere(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "large.npz"
    np.savez(file, images=rng.integers(0, 16, (40, 16, 16)).astype(np.uint8), labels=np.arange(40) % 2)
    own = {"source": str(file), "image": "images", "label": "labels"}
    people = [PLAN["participants"][0] | {"data": own}, *PLAN["participants"][1:]]
    run_tiny(tmp_path / "run", participants=people, baselines=["fedavg"])
    shared = read_json(RunFolder(tmp_path / "run").approach("fedavg") / "shared.json")
    assert "vit.embeddings.position_embeddings" not in shared  # 16 patches here, 4 there
    assert "vit.layers.0.mlp.fc1.weight" in shared
    assert not [name for name in shared if "classifier" in name]


def test_another_run_at_the_same_path_starts_afresh(tmp_path):
    run_tiny(tmp_path / "run")
    first = (tmp_path / "run" / "operator" / "operator.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "run")
    run_tiny(tmp_path / "run", seed=7)
    second = (tmp_path / "run" / "operator" / "operator.safetensors").read_bytes()
    run_tiny(tmp_path / "elsewhere", seed=7)
    assert second == (tmp_path / "elsewhere" / "operator" / "operator.safetensors").read_bytes() != first


def test_settings_that_make_no_model_are_told_as_such(tmp_path):
    with pytest.raises(FedgrowError, match="model_settings"):
        run_tiny(tmp_path / "run", model_settings={"patch_size": 4, "hidden_act": "nonsense"})


def test_only_metrics_of_the_plan_leave(tmp_path):
    run_tiny(tmp_path / "run", metrics=["accuracy"])
    record = read_json(tmp_path / "run" / "rounds" / "0002" / "round.json")
    assert set(record["metrics"]) == {"train_loss", "accuracy"}


def test_why_a_run_failed_is_told_but_not_written_where_it_might_travel(tmp_path):
    with pytest.raises(FedgrowError, match="the loss is"):
        run_tiny(tmp_path / "run", prepare={"steps": 3, "learning_rate": 1e30})
    for name in ("run.json", "events.jsonl"):
        assert "loss is" not in (tmp_path / "run" / name).read_text()
