"""Growth tensor by tensor gives what growth of the whole model gives, for every family and method."""

import pytest
import torch

from fedgrow.architectures import families, read
from fedgrow.errors import ShapeError
from fedgrow.folders.source import InMemory
from fedgrow.growth import Applied, Stage, grow, stack, stream
from fedgrow.growth.exactness import DIRECTIONS
from fedgrow.growth.initialisers import INITIALISERS
from fedgrow.growth.operators.drawn import Drawn
from fedgrow.growth.operators.tied import Tied
from tests import zoo

EVERYTHING = next(d for d in DIRECTIONS if d.name == "all together")


def model(name, head=None, **sizes):
    family = families()[name]
    groups = {"kv_heads": 1} if "kv_heads" in family.config else {}
    return zoo.model(family, head, zoo.small_shape(family, **groups, **sizes), seed=1)


def target(small):
    reading = read(small)
    return EVERYTHING.grow(reading.family, reading.shape, lambda low, high: low)


def applied(small, method="exact", seed=0):
    operator = Drawn(Stage(read(small).family, read(small).shape, target(small)), start=method, seed=seed)
    return Applied(operator, operator.initial(torch.float64))


def streamed(small, growth):
    reading, tensors = read(small), InMemory(small.state_dict())
    made = stream.Stream(reading, tensors, growth, torch.float64)
    plans = stream.planned(reading, tensors, growth.operator.stage.target)
    return {plan.name: torch.cat(list(made.pieces(plan))) for plan in plans}, plans


def check(small, growth):
    whole = grow(read(small), stack(read(small), small.state_dict()), [growth])
    pieces, plans = streamed(small, growth)
    assert set(pieces) == set(whole) - set(read(small).tied)
    for plan in plans:
        assert tuple(pieces[plan.name].shape) == plan.size
        torch.testing.assert_close(pieces[plan.name], whole[plan.name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", families())
def test_every_family(name):
    head = next(iter(families()[name].heads))
    small = model(name, head)
    check(small, applied(small))


@pytest.mark.parametrize("method", INITIALISERS)
@pytest.mark.parametrize("name", ["bert", "llama", "t5-gated", "dinov2"])
def test_every_method(name, method):
    if (name, method) == ("llama", "xavier"):
        pytest.skip("refused, see below")
    small = model(name, next(iter(families()[name].heads)), layers=2)
    check(small, applied(small, method, seed=3))


def test_xavier_is_refused_where_heads_share_keys_and_values():
    with pytest.raises(ShapeError, match=r"xavier: .* 2 heads but 1 key-value heads; choose another method"):
        applied(model("llama", heads=2), "xavier")


def test_a_vocabulary_is_grown_a_few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(stream, "ROWS", 40)
    small = model("llama", "causal-language-modelling", heads=2)
    growth = applied(small)
    reading, tensors = read(small), InMemory(small.state_dict())
    plan = stream.planned(reading, tensors, growth.operator.stage.target)[0]
    made = list(stream.Stream(reading, tensors, growth, torch.float64).pieces(plan))
    assert plan.name == "model.embed_tokens.weight"
    assert len(made) > 1
    check(small, growth)


def test_free_rows_are_those_that_a_learned_operator_starts_from():
    small = model("llama")
    stage = Stage(read(small).family, read(small).shape, target(small))
    drawn, tied = Drawn(stage, seed=5), Tied(stage, seed=5)
    matrices = tied.maps(tied.initial(torch.float64)).outer
    for axis, one in drawn.maps(drawn.initial(torch.float64)).outer.items():
        torch.testing.assert_close(one.dense(), matrices[axis].dense())


def test_copies_part_and_the_seed_decides_how():
    small = model("llama")
    first, again, other = (streamed(small, applied(small, seed=s))[0] for s in (0, 0, 1))
    name = "layers.0.mlp.up_proj.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    old = read(small).shape.ffn
    assert not any(torch.equal(first[name][old], row) for row in first[name][:old])
