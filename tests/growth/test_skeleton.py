"""Tables over the vocabulary left as factors give the same logits as the materialised model."""

import pytest
import torch
from torch.func import functional_call

from fedgrow.architectures import Shape, families, read
from fedgrow.growth import grow, stack
from fedgrow.growth.skeleton import skeleton
from tests import tiny, zoo
from tests.growth.growing import SMALL, grown_config, materialise, stages, started

MIDDLE = Shape(layers=3, width=16, heads=4, ffn=20)
LARGE = Shape(layers=4, width=32, heads=4, ffn=24)
KINDS = [("tied", "tied"), ("dense", "low-rank"), ("low-rank", "low-rank")]


def applied(small, kinds):
    steps = stages(read(small), [MIDDLE, LARGE])
    return [started(step, kind) for step, kind in zip(steps, kinds, strict=True)]


def factored(small, operators):
    reading = read(small)
    tensors = grow(reading, stack(reading, small.state_dict()), operators, factored_vocabulary=True)
    return tensors, skeleton(reading, grown_config(small, [a.operator.stage for a in operators]))


@pytest.mark.parametrize("tied", [True, False], ids=["tied head", "own head"])
@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize("name", tiny.WITH_HEAD)
def test_the_logits_are_those_of_the_materialised_model(name, kinds, tied):
    small = tiny.model(name, SMALL, tie_word_embeddings=tied)
    operators = applied(small, kinds)
    tensors, module = factored(small, operators)
    with torch.no_grad():
        logits = functional_call(module, tensors, (), tiny.inputs(name)).logits
    expected = tiny.logits(materialise(small, operators), tiny.inputs(name))
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "head"), zoo.NAMES)
def test_of_every_family_and_head_the_outputs_are_those_of_the_materialised_model(name, head):
    family = families()[name]
    small = zoo.model(family, head, zoo.small_shape(family))
    middle, large = (zoo.small_shape(family, heads=heads, ffn=24, layers=3) for heads in (4, 8))
    rotary = {"rotary": read(small).shape.rotary}
    steps = stages(read(small), [shape.model_copy(update=rotary) for shape in (middle, large)])
    operators = [started(step, kind) for step, kind in zip(steps, ("tied", "low-rank"), strict=True)]
    tensors, module = factored(small, operators)
    batch = zoo.inputs(family, head)
    with torch.no_grad():
        found = zoo.outputs(lambda **given: functional_call(module, tensors, (), given), batch)
    torch.testing.assert_close(found, zoo.outputs(materialise(small, operators), batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "bert-mlm", "gpt2", "gpt2-classify"])
def test_no_table_over_the_vocabulary_is_materialised(name):
    tensors, _ = factored(tiny.model(name, SMALL), applied(tiny.model(name, SMALL), ["tied", "tied"]))
    assert (tiny.VOCAB, LARGE.width) not in {tuple(t.shape) for t in tensors.values()}


@pytest.mark.parametrize("name", tiny.WITH_HEAD)
def test_the_skeleton_asks_for_what_growth_gives(name):
    tensors, module = factored(tiny.model(name, SMALL), applied(tiny.model(name, SMALL), ["tied", "tied"]))
    assert set(tensors) == set(module.state_dict())


def test_the_skeleton_has_no_memory():
    _, module = factored(tiny.model("gpt2", SMALL), applied(tiny.model("gpt2", SMALL), ["tied", "tied"]))
    assert all(parameter.is_meta for parameter in module.parameters())


def test_a_tied_table_gets_gradients_from_both_of_its_uses():
    small = tiny.model("gpt2", SMALL)
    operators = applied(small, ["tied", "tied"])
    tensors, module = factored(small, operators)
    table = tensors["transformer.wte.small"].requires_grad_()
    functional_call(module, tensors, (), tiny.inputs("gpt2")).logits.square().sum().backward()
    seen = torch.zeros(tiny.VOCAB, dtype=torch.bool)
    seen[tiny.inputs("gpt2")["input_ids"]] = True
    assert table.grad[~seen].any()
