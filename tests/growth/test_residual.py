"""The residual term: nothing at the start, learned like the rest, and grown on by the stages that follow."""

import pytest
import torch
from torch.func import functional_call

from fedgrow.architectures import Shape, families, read
from fedgrow.architectures.axes import STRUCTURAL_AXES
from fedgrow.growth import OPERATORS, Applied, grow, stack
from tests import tiny, zoo
from tests.growth.growing import (
    KINDS,
    SMALL,
    difference,
    materialise,
    noisy,
    share_of_difference,
    stages,
    started,
)

MIDDLE = Shape(layers=3, width=16, heads=4, ffn=20)
LARGE = Shape(layers=4, width=32, heads=4, ffn=24)
NAMES = ["bert", "vit", "gpt2"]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_model = pytest.mark.parametrize("name", NAMES)


def applied(small, kind="fixed", targets=(MIDDLE,), **settings):
    steps = stages(read(small), targets)
    return [started(step, kind, residual=2, seed=i, **settings) for i, step in enumerate(steps)]


def tensors(small, operators):
    return grow(read(small), stack(read(small), small.state_dict()), operators)


def with_up(operator):
    """Give an operator's residual term something to add."""
    arrays = {
        n: a + 0.1 * torch.randn(a.shape, generator=torch.Generator().manual_seed(4), dtype=a.dtype)
        if n.startswith("residual/") and n.endswith(("/U", "/b"))
        else a
        for n, a in operator.arrays.items()
    }
    return Applied(operator.operator, arrays)


@every_kind
@pytest.mark.parametrize("name", families())
def test_at_the_start_it_adds_nothing(name, kind):
    family = families()[name]
    head = next(iter(family.heads))
    small = zoo.model(family, head, zoo.small_shape(family))
    zoo.exact_embedding_scale(small)
    (step,) = stages(read(small), [read(small).shape])
    large = materialise(small, [started(step, kind, residual=2)])
    assert share_of_difference(small, large, family, head) <= 1e-9


@every_kind
def test_every_weight_matrix_and_vector_of_the_blocks_has_one(kind):
    small = tiny.model("vit", SMALL)
    (made,) = applied(small, kind)
    found = {n.removeprefix("residual/")[:-2] for n in made.arrays if n.startswith("residual/")}
    assert found == set(families()["vit"].blocks[0].tensors)
    assert made.arrays["residual/mlp.fc1.weight/U"].shape == (3, 20, 2)
    assert made.arrays["residual/mlp.fc1.weight/V"].shape == (3, 16, 2)
    assert made.arrays["residual/mlp.fc1.bias/b"].shape == (3, 20)
    assert made.arrays["residual/layernorm_before.weight/b"].shape == (3, 16)


@pytest.mark.parametrize("name", families())
def test_factors_and_vectors_that_follow_from_the_shapes_have_none(name):
    family = families()[name]
    small = zoo.model(family, next(iter(family.heads)), zoo.small_shape(family))
    (step,) = stages(read(small), [read(small).shape])
    arrays = OPERATORS["fixed"](step, residual=2).initial()
    found = {n.removeprefix("residual/")[:-2] for n in arrays if n.endswith("/b")}
    vectors = {
        family.key(block, tensor): axes[0]
        for block in family.blocks
        for tensor, axes in block.tensors.items()
        if len(axes) == 1
    }
    assert found == {key for key, axis in vectors.items() if axis not in STRUCTURAL_AXES}


def test_without_a_rank_there_is_none():
    small = tiny.model("vit", SMALL)
    (step,) = stages(read(small), [MIDDLE])
    assert not [n for n in started(step, "tied").arrays if n.startswith("residual/")]


@every_model
@every_kind
def test_it_gets_gradients_and_then_changes_the_model(name, kind):
    small = tiny.model(name, SMALL)
    (begin,) = applied(small, kind)
    arrays = {n: a.clone().requires_grad_() for n, a in begin.arrays.items()}
    module = materialise(small, [begin])
    residual = [n for n in arrays if n.startswith("residual/")]
    optimizer = torch.optim.AdamW([arrays[n] for n in residual], lr=3e-3)
    batch = tiny.inputs(name)
    like = tiny.logits(small, batch)
    target = torch.randn(like.shape, generator=torch.Generator().manual_seed(0), dtype=like.dtype)

    def loss():
        grown = tensors(small, [Applied(begin.operator, arrays)])
        return (functional_call(module, grown, (), batch).logits - target).square().mean()

    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        losses.append(loss())
        losses[-1].backward()
        optimizer.step()
    assert all(arrays[n].grad.any() for n in residual)
    assert losses[-1] < losses[0]
    trained = materialise(small, [Applied(begin.operator, {n: a.detach() for n, a in arrays.items()})])
    assert difference(name, module, trained) > 1e-3


@every_model
def test_it_adds_a_product_of_the_rank_asked_for_to_every_layer(name):
    small = tiny.model(name, SMALL)
    (begin,) = applied(small)
    added = with_up(begin)
    before, after = tensors(small, [begin]), tensors(small, [added])
    (block,) = families()[tiny.NAMES[name][0]].blocks
    specs = [spec for spec in read(small).specs if spec.in_block and len(spec.axes) == 2]
    assert len(specs) == sum(len(axes) == 2 for axes in block.tensors.values())
    for spec in specs:
        up, down = (added.arrays[f"residual/{spec.key}/{part}"] for part in "UV")
        for layer, full in enumerate(spec.names(MIDDLE)):
            torch.testing.assert_close(after[full], before[full] + up[layer] @ down[layer].mT)


@every_model
def test_it_adds_a_vector_of_its_own_to_every_bias_and_norm_of_every_layer(name):
    small = tiny.model(name, SMALL)
    (begin,) = applied(small)
    added = with_up(begin)
    before, after = tensors(small, [begin]), tensors(small, [added])
    specs = [spec for spec in read(small).specs if spec.in_block and len(spec.axes) == 1]
    assert len(specs) >= 8
    for spec in specs:
        vector = added.arrays[f"residual/{spec.key}/b"]
        for layer, full in enumerate(spec.names(MIDDLE)):
            torch.testing.assert_close(after[full], before[full] + vector[layer])


@every_model
@every_kind
def test_in_a_stage_that_is_not_the_last_it_is_grown_on(name, kind):
    small = tiny.model(name, SMALL)
    local, shared = (noisy(step) for step in applied(small, kind, (MIDDLE, LARGE)))
    together = materialise(small, [local, shared]).state_dict()
    apart = materialise(materialise(small, [local]), [shared]).state_dict()
    for full, tensor in together.items():
        torch.testing.assert_close(tensor, apart[full], rtol=1e-9, atol=1e-9)


@every_model
def test_a_local_term_reaches_every_weight_of_the_first_large_layer(name):
    small = tiny.model(name, SMALL)
    local, shared = applied(small, "fixed", (MIDDLE, LARGE))
    before, after = tensors(small, [local, shared]), tensors(small, [with_up(local), shared])
    blocks = [s for s in read(small).specs if s.in_block]
    changed = {full for full in before if not torch.equal(before[full], after[full])}
    assert {s.names(LARGE)[0] for s in blocks if len(s.axes) == 2} <= changed
    assert changed <= {full for s in blocks for full in s.names(LARGE)}


def test_its_columns_start_with_a_norm_of_one():
    small = tiny.model("vit", Shape(layers=2, width=64, heads=2, ffn=96))
    (step,) = stages(read(small), [Shape(layers=2, width=128, heads=4, ffn=512)])
    down = OPERATORS["fixed"](step, residual=8).initial()["residual/mlp.fc2.weight/V"]
    assert down.shape == (2, 512, 8)
    assert 0.8 < float(down.norm(dim=1).mean()) < 1.2
