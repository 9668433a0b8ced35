"""Sub-models as learners: their sizes, their positions, and windows that move."""

from typing import Any

import pytest
import torch

from fedgrow.architectures import Shape, families, read
from fedgrow.architectures.models import new_model
from fedgrow.errors import ShapeError
from fedgrow.growth.cut import Cut
from fedgrow.learners.sub_model import WINDOW, RollingSubModel, begins_at, sub_config, sub_model
from fedgrow.learners.whole_model import body_names
from tests import tiny, zoo
from tests.learners.learners import LARGE, SMALL, batch, moved, plan, small


def names(name: str) -> list[str]:
    large = tiny.model(name, Shape(**LARGE))
    return body_names(read(large), vocabulary=False)


def part(name: str, offset: int = 0) -> Cut:
    return Cut(tiny.family(name), Shape(**LARGE), SMALL, offset)


@pytest.mark.parametrize("name", ["bert", "vit", "gpt2-classify"])
def test_a_part_travels_at_its_own_size_and_the_rest_stays(name):
    learner = sub_model(small(name), plan(), part(name), shared=names(name))
    body = body_names(read(small(name)), vocabulary=False)
    assert {n: t.shape for n, t in learner.shared_start().items()} == {
        n: t.shape for n, t in small(name).state_dict().items() if n in body
    }
    assert set(learner.private_start()) == set(small(name).state_dict()) - set(body)


@pytest.mark.parametrize("name", ["bert", "vit", "gpt2-classify"])
@pytest.mark.parametrize("offset", [0, 5])
def test_a_rolling_part_is_the_same_window_of_a_large_model_throughout(name, offset):
    learner = RollingSubModel(small(name), plan(), part(name), shared=names(name))
    private = moved(learner.private_start())
    width = LARGE["width"]
    assert all(width in t.shape for n, t in private.items() if t.dim() > 1)
    large = tiny.model(name, Shape(**LARGE), dtype=torch.float32).state_dict() | private
    window = part(name, offset).take(large, read(small(name)).head)
    shared = {n: t for n, t in window.items() if n in names(name)} | {WINDOW: begins_at(offset)}
    mine = learner.materialise(shared, private)
    assert all(torch.equal(mine.state_dict()[n], t) for n, t in window.items())
    assert set(learner.sent(shared, private)) == set(learner.shared_start())


def test_private_weights_outside_the_window_get_no_gradient():
    learner = RollingSubModel(small("vit"), plan(), part("vit"), shared=names("vit"))
    private = {n: t.clone().requires_grad_() for n, t in learner.private_start().items()}
    shared = learner.shared_start() | {WINDOW: begins_at(30)}
    learner.logits(learner.weights(shared, private), batch("vit"), training=False).square().sum().backward()
    touched = private["classifier.weight"].grad.abs().sum(0).nonzero().flatten().tolist()
    assert touched == [0, 1, 2, 3, 4, 5, 30, 31]


def frequencies(config: Any) -> torch.Tensor:
    return new_model(config, None, seed=0).rotary_emb.inv_freq


@pytest.mark.parametrize("sizes", [(4, 8), (4, 6), (4, 4)])
def test_pairs_that_are_kept_turn_as_in_the_large_model(sizes):
    family = families()["llama"]
    own, whole = (Shape(layers=1, width=24, heads=2, head_size=d, ffn=8, rotary=d) for d in sizes)
    config = zoo.config(family, own)
    found = Cut(family, whole, own)
    large = zoo.config(family, whole)
    pairs = found.index("key.out")[: own.head_size // 2]
    assert torch.allclose(frequencies(sub_config(config, found)), frequencies(large)[pairs])


def test_positions_that_depend_on_the_head_size_in_another_way_are_refused():
    family = families()["llama"]
    own, whole = (Shape(layers=1, width=24, heads=2, head_size=d, ffn=8, rotary=d) for d in (4, 8))
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    config = zoo.config(family, own, rope_parameters=rope)
    with pytest.raises(ShapeError, match="'dynamic'"):
        sub_config(config, Cut(family, whole, own))
