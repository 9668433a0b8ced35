"""Federated LoRA: it starts as the common model, only factors travel, and the body stays as it was."""

import torch

from fedgrow.approaches.common_model import Common
from fedgrow.disk.atomic import read_tensors
from fedgrow.learners import WholeModel
from fedgrow.learners.lora import LORA
from tests.approaches.federating import Heard, begin, federate, sites

NAME = "fedlora"


def test_a_federation_of_factors(tmp_path):
    run, tap = begin(tmp_path / "run", NAME), Heard()
    start = read_tensors(run.approach(NAME) / "start.safetensors")
    common = Common.load(run.approach(NAME) / "common", run.plan.task)
    for site in sites(run, NAME):
        whole = WholeModel(common.own(site), 1e-3)
        assert site.evaluate(site.learner, start, site.learner.private_start()) == site.evaluate(
            whole, {}, whole.private_start()
        )
        assert set(site.learner.private_start()) == {"classifier.weight", "classifier.bias"}
    federate(run, NAME, tap)
    assert {way for way, *_ in tap.messages} == {"up", "down"}
    for _, _, _, arrays, _ in tap.messages:
        assert {n: t.shape for n, t in arrays.items()} == {n: t.shape for n, t in start.items()}
    assert all(name.startswith(LORA) for name in start)
    assert sum(t.numel() for t in start.values()) < sum(t.numel() for t in common.model.state_dict().values())
    last = [arrays for way, _, _, arrays, _ in tap.messages if way == "up"][-1]
    assert any(not torch.equal(last[name], start[name]) for name in start if name.endswith(".up"))
    for site in sites(run, NAME):
        private = site.state.load(2)
        merged = site.learner.materialise(last, private).state_dict()
        theirs = common.model.state_dict()
        kept = [n for n in common.names if f"{LORA}{n}.up" not in start]
        assert kept
        assert all(torch.equal(merged[n], theirs[n]) for n in kept)
