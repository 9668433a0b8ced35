"""From the exact start new entries learn and copies part: nothing stays frozen, no two units stay equal."""

from functools import cache

import pytest
import torch
from torch.func import functional_call

from fedgrow.architectures import Shape, read
from fedgrow.growth import Applied, grow, stack
from tests import tiny
from tests.growth.growing import LEARNED, SMALL, materialise, stages, started

LARGE = Shape(layers=4, width=16, heads=4, ffn=24)


@cache
def trained(name, kind, steps):
    """Return the grown tensors after so many steps of AdamW on the operator alone."""
    small = tiny.model(name, SMALL)
    reading = read(small)
    stacked = stack(reading, small.state_dict())
    (stage,) = stages(reading, [LARGE])
    begin = started(stage, kind)
    module = materialise(small, [begin])
    arrays = {n: a.clone().requires_grad_() for n, a in begin.arrays.items()}
    optimizer = torch.optim.AdamW(arrays.values(), lr=1e-2, weight_decay=0.0)
    batch = tiny.inputs(name)
    shape = tiny.logits(small, batch).shape
    target = torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for _ in range(steps):
        optimizer.zero_grad()
        tensors = grow(reading, stacked, [Applied(begin.operator, arrays)])
        (functional_call(module, tensors, (), batch).logits - target).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        return grow(reading, stacked, [Applied(begin.operator, arrays)])


def units(name, tensors, axes, layer):
    """Return everything that the units of some axes write and read in one layer, one unit a row."""
    parts = []
    for spec in read(tiny.model(name, SMALL)).specs:
        tensor = tensors[spec.name.format(layer=layer)]
        parts += [tensor.movedim(d, 0) for d, label in enumerate(spec.axes) if label in axes]
    return [part.reshape(part.shape[0], -1) for part in parts]


def closest(rows):
    return float(torch.pdist(torch.cat(rows, 1)).min())


every_kind = pytest.mark.parametrize("kind", LEARNED)
every_norm = pytest.mark.parametrize("name", ["bert", "vit", "llama"])


@every_kind
@every_norm
def test_at_the_start_new_entries_of_the_stream_are_copies(name, kind):
    assert closest(units(name, trained(name, kind, 0), ("stream.out",), 0)) == 0


@every_kind
@every_norm
@pytest.mark.parametrize("layer", range(LARGE.layers))
class TestCopiesPartAfterTwoSteps:
    def test_ffn_units(self, name, kind, layer):
        assert closest(units(name, trained(name, kind, 2), ("ffn.out", "ffn.in"), layer)) > 1e-4

    def test_what_is_written_into_the_stream(self, name, kind, layer):
        assert closest(units(name, trained(name, kind, 2), ("stream.out",), layer)) > 1e-4

    def test_heads(self, name, kind, layer):
        axes = ("query.out", "key.out", "value.out", "value.in")
        rows = units(name, trained(name, kind, 2), axes, layer)
        assert closest([part.reshape(LARGE.heads, -1) for part in rows]) > 1e-4


@every_kind
@every_norm
def test_after_one_step_new_ffn_units_are_read(name, kind):
    before, after = (units(name, trained(name, kind, steps), ("ffn.in",), 0)[0] for steps in (0, 1))
    assert not before[SMALL.ffn :].any()
    assert (after[SMALL.ffn :].norm(dim=1) > 1e-4).all()


@every_kind
@every_norm
def test_after_one_step_new_blocks_write_into_the_stream(name, kind):
    before, after = (units(name, trained(name, kind, steps), ("ffn.in",), 1)[0] for steps in (0, 1))
    assert not before.any()
    assert (after[: SMALL.ffn].norm(dim=1) > 1e-4).all()


def moved(name, kind, *, in_block):
    """Return for every grown body tensor, inside or outside the blocks, which of its entries two steps have moved.

    Biases of keys are left out: the softmax does not see them, so that their gradient is zero but for rounding.
    """
    before, after = (trained(name, kind, steps) for steps in (0, 2))
    found = {
        tensor: after[tensor] != before[tensor]
        for spec in read(tiny.model(name, SMALL)).specs
        for tensor in spec.names(LARGE)
        if spec.part == "body" and spec.in_block is in_block and not is_key_bias(spec)
    }
    assert found
    return found


def is_key_bias(spec):
    return len(spec.axes) == 1 and any("key" in part for part in spec.axes)


every_model = pytest.mark.parametrize("name", [*tiny.WITH_HEAD, "llama"])


@every_kind
@every_model
def test_after_two_steps_every_entry_of_the_blocks_has_moved(name, kind):
    assert [tensor for tensor, entries in moved(name, kind, in_block=True).items() if not entries.all()] == []


@pytest.mark.parametrize("kind", [kind for kind in LEARNED if kind != "partial"])
@every_model
def test_after_two_steps_every_entry_outside_the_blocks_has_moved(name, kind):
    assert [
        tensor for tensor, entries in moved(name, kind, in_block=False).items() if not entries.all()
    ] == []


@every_model
def test_under_partial_only_new_entries_outside_the_blocks_move(name):
    small = tiny.model(name, SMALL).state_dict()
    for tensor, entries in moved(name, "partial", in_block=False).items():
        old = torch.zeros_like(entries)
        old[tuple(slice(size) for size in small[tensor].shape)] = True
        assert torch.equal(entries, ~old), tensor
