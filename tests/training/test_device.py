"""Where a participant computes: checked on stand-ins for a GPU, which know devices but hold no numbers."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fedgrow.architectures import Shape, families, read
from fedgrow.architectures.configuration import with_rotary
from fedgrow.architectures.models import new_model
from fedgrow.config.plan import OperatorPlan, TrainingPlan
from fedgrow.errors import FedgrowError
from fedgrow.learners.ligo import Ligo, Step, make_operator
from fedgrow.training.device import autocast, device_of
from tests import zoo
from tests.federation import run_tiny

AWAY = torch.device("meta")  # stands for a GPU: within the mode below, operations across devices are errors
CAUSAL = "causal-language-modelling"
KINDS = (
    "dense",
    "tied",
    "low-rank",
    "fixed",
)  # partial asks for the values of its index, which stand-ins lack


def ligo(name, head, kind, *, tokens, start="exact"):
    """Two operators around a tiny model, the second one away from its start."""
    family = families()[name]
    model = new_model(zoo.config(family, zoo.small_shape(family)), head, seed=0)
    small = read(model).shape
    middle = with_rotary(family, Shape(layers=3, width=16, heads=4, head_size=4, ffn=16), small)
    large = with_rotary(family, Shape(layers=4, width=32, heads=8, head_size=4, ffn=32), small)
    shapes = [(small, middle), (middle, large)]
    steps = [
        Step(
            make_operator(OperatorPlan(kind=kind, start=start), family, source, target, seed=0), 1e-3, prefix
        )
        for (source, target), prefix in zip(shapes, ("local/", ""), strict=True)
    ]
    return Ligo(model, steps, TrainingPlan(), tokens=tokens)


def is_on(device, tensors):
    return {n for n, t in tensors.items() if t.device != device}


MODELS = {
    "vit": "image-classification",
    "bert": "sequence-classification",
    "gpt2": "sequence-classification",
    "llama": CAUSAL,
    "gpt_neox": CAUSAL,
}


def away(mode, tensors):
    return {n: mode.from_tensor(t).to(AWAY) for n, t in tensors.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tokens", [64, 1 << 20])  # weights materialised, or left as factors
def test_growth_stays_on_the_device(name, kind, tokens):
    head = MODELS[name]
    learner = ligo(name, head, kind, tokens=tokens)
    inputs = zoo.inputs(families()[name], head)
    inputs = {n: t.float() if t.is_floating_point() else t for n, t in inputs.items()}
    starts = learner.shared_start(), learner.private_start()
    learner.logits(learner.weights(*starts), inputs, training=True)  # what is looked up once is looked up now
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        (shared, private), batch = (away(mode, start) for start in starts), away(mode, inputs)
        trained = [t.requires_grad_() for t in (*shared.values(), *private.values())]
        weights = learner.weights(shared, private)
        assert is_on(AWAY, weights) == set()
        logits = learner.logits(weights, batch, training=True)
        assert logits.device == AWAY
        logits.square().sum().backward()
        assert {t.grad.device for t in trained if t.grad is not None} == {AWAY}


@pytest.mark.parametrize("kind", KINDS)
def test_maps_pull_on_the_device(kind):
    learner = ligo("vit", "image-classification", kind, tokens=64)

    def there_and_back(arrays, device):
        for m in step.operator.maps(arrays).outer.values():
            x = torch.ones(2, m.large, device=device)
            assert m.pull(x, 1).device == m.apply(m.pull(x, 1), 1).device == device

    for step in learner.steps:
        start = step.operator.initial()
        there_and_back(start, torch.device("cpu"))
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            there_and_back(away(mode, start), AWAY)


def test_a_missing_device_is_refused_by_name():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(FedgrowError, match=r"training\.device: there is no cuda here, only cpu"):
        device_of(TrainingPlan(device="cuda"))
    assert device_of(TrainingPlan(device="auto")) == torch.device("cpu")


def test_autocast_computes_in_bfloat16():
    plan = TrainingPlan(autocast="bfloat16")
    with autocast(plan, torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with autocast(TrainingPlan(), torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("kind", ["low-rank", "tied"])
def test_a_run_under_autocast_sends_float32(tmp_path, kind):
    training = {"batch_size": 8, "autocast": "bfloat16", "device": "auto"}
    half = run_tiny(tmp_path / "half", training=training, operator={"kind": kind})
    full = run_tiny(tmp_path / "full", operator={"kind": kind})
    assert {a["dtype"] for a in half["exchange"]["arrays"]} == {"float32"}
    loss = [s["grown"]["metrics_mean"]["loss"] for s in (half, full)]
    assert loss[0] != loss[1]
    assert loss[0] == pytest.approx(loss[1], rel=0.05)
