"""A trained Global-LiGO taken into another run."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from fedgrow.disk.atomic import read_tensors
from fedgrow.errors import FedgrowError
from fedgrow.federated.member import member_at
from fedgrow.federated.resolve import resolve
from tests.federation import PLAN, run_tiny, tiny_plan

# three, for an average of equal arrays is off by a rounding, which "as it is" does not allow
NEWCOMER = [
    {"name": name, "model": {"layers": 2, "width": 12, "heads": 2, "ffn": 8}}
    for name in ("dee", "eve", "fay")
]


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The operator of a finished run."""
    folder = tmp_path_factory.mktemp("members") / "run"
    run_tiny(folder, operator={"kind": "partial", "learning_rate": 0.01})
    return folder / "operator"


def joining(operator, **settings):
    return {
        "participants": NEWCOMER,
        "operator": {"trained": str(operator)} | settings,
        "intermediate": "auto",
    }


def test_a_newcomer_keeps_the_operator_and_trains_its_own(tmp_path, members):
    summary = run_tiny(tmp_path / "run", seed=5, **joining(members, frozen=True))
    before, after = (
        read_tensors(members / "operator.safetensors"),
        read_tensors(tmp_path / "run/operator/operator.safetensors"),
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    site = member_at(str(tmp_path / "run"), 0, "dual-ligo")
    start, end = site.learner.private_start(), site.state.load(summary["rounds"])
    local = [name for name in start if name.startswith("local/")]
    assert local
    assert all(not torch.equal(start[name], end[name]) for name in local)
    assert site.plan.operator.kind == "partial"
    assert site.plan.intermediate.width == PLAN["intermediate"]["width"]


def test_a_federation_may_begin_with_a_trained_operator(tmp_path, members):
    run_tiny(tmp_path / "run", operator={"trained": str(members), "learning_rate": 0.01})
    site = member_at(str(tmp_path / "run"), 0, "dual-ligo")
    before = read_tensors(members / "operator.safetensors")
    assert all(torch.equal(before[name], array) for name, array in site.shared_start.items())
    after = read_tensors(tmp_path / "run/operator/operator.safetensors")
    assert not all(torch.equal(before[name], after[name]) for name in before)


def test_a_trained_operator_is_another_start(tmp_path, members):
    plan = tiny_plan(operator={"trained": str(members)})
    resolved = resolve(plan)
    assert resolved.operator.kind == "partial"
    assert resolved.operator.seed is not None
    assert resolve(resolved) == resolved


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"large": PLAN["large"] | {"width": 32}}, "large shape"),
        ({"intermediate": PLAN["intermediate"] | {"ffn": 20}}, "intermediate shape"),
        ({"family": "deit"}, "grows a vit, the plan's family is deit"),
    ],
)
def test_an_operator_of_other_shapes_is_refused(members, changes, said):
    with pytest.raises(FedgrowError, match=said):
        resolve(tiny_plan(operator={"trained": str(members)}, **changes))


def test_what_is_no_operator_is_refused(tmp_path):
    with pytest.raises(FedgrowError, match="holds no operator"):
        resolve(tiny_plan(operator={"trained": str(tmp_path)}))


@pytest.mark.parametrize("fault", ["name", "shape", "nan", "bytes", "config"])
def test_an_altered_operator_is_refused(tmp_path, members, fault):
    arrays, config = (
        load_file(members / "operator.safetensors"),
        json.loads((members / "config.json").read_text()),
    )
    first = sorted(arrays)[0]
    if fault == "name":
        arrays["more"] = arrays.pop(first)
    elif fault == "shape":
        arrays[first] = arrays[first][:-1].copy()
    elif fault == "nan":
        arrays[first] = np.full_like(arrays[first], np.nan)
    elif fault == "config":
        config["operator"]["kind"] = 3
    save_file(arrays, tmp_path / "operator.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    if fault == "bytes":
        (tmp_path / "operator.safetensors").write_bytes(b"no tensors")
    with pytest.raises(FedgrowError, match=r"operator\.trained"):
        resolve(tiny_plan(operator={"trained": str(tmp_path)}))


def test_how_an_operator_was_used_is_the_plans_to_say(tmp_path, members):
    shutil.copytree(members, tmp_path / "operator")
    config = json.loads((members / "config.json").read_text())
    config["operator"] |= {"frozen": True, "learning_rate": 3.0, "trained": "elsewhere"}
    (tmp_path / "operator" / "config.json").write_text(json.dumps(config))
    operator = resolve(tiny_plan(operator={"trained": str(tmp_path / "operator")})).operator
    assert (operator.frozen, operator.learning_rate) == (False, None)
    assert operator.trained == str(tmp_path / "operator")


def test_a_local_operator_is_never_taken(members):
    with pytest.raises(FedgrowError, match="trained and frozen are for Global-LiGO"):
        resolve(tiny_plan(local_operator={"kind": "tied", "trained": str(members)}))


def test_a_frozen_operator_cannot_be_trained_alone_either(tmp_path, members):
    """Growing alone with a frozen operator trains Local-LiGO only, too."""
    summary = run_tiny(tmp_path / "run", **joining(members, frozen=True), baselines=["independent"])
    assert summary["baselines"]["independent"]["metrics_mean"] == summary["grown"]["metrics_mean"]


def test_of_a_run_folder_the_operator_in_it_is_told(members):
    with pytest.raises(FedgrowError, match=f"{members.parent} is a run's folder; name {members} in it"):
        resolve(tiny_plan(operator={"trained": str(members.parent)}))
