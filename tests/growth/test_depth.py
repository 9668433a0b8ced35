"""Depth: which layer a new one starts from, and what is silent, moved or constant at the start."""

import pytest

from fedgrow.architectures import Shape, families
from fedgrow.growth import Stage
from fedgrow.growth.depth import copied_depth, labels_of, silent_depth, source_layers, stacked_layers
from tests import zoo

SMALL = Shape(layers=2, width=8, heads=2, ffn=12)
DEEPER = Shape(layers=5, width=8, heads=2, ffn=12)


def stage(name):
    """Return a stage from 2 layers to 5 (and from 2 decoder layers to 5)."""
    family = families()[name]
    small = zoo.small_shape(family)
    more = {"layers": 5} | ({"decoder_layers": 5} if small.decoder_layers else {})
    return Stage(family, small, small.model_copy(update=more))


@pytest.mark.parametrize(
    ("small", "large", "sources"),
    [(2, 2, [0, 1]), (2, 4, [0, 0, 1, 1]), (2, 5, [0, 0, 0, 1, 1]), (3, 4, [0, 0, 1, 2])],
)
def test_new_layers_follow_their_source(small, large, sources):
    assert source_layers(small, large) == sources


@pytest.mark.parametrize(("small", "large", "sources"), [(2, 5, [0, 1, 0, 1, 0]), (3, 4, [0, 1, 2, 0])])
def test_stacking_begins_again_after_the_last_layer(small, large, sources):
    assert stacked_layers(small, large) == sources


@pytest.mark.parametrize("name", families())
def test_every_block_tensor_of_every_stack_has_a_depth(name):
    family = families()[name]
    keys = {family.key(block, tensor) for block in family.blocks for tensor in block.tensors}
    assert silent_depth(stage(name)).keys() == keys
    assert copied_depth(stage(name), stacked_layers).keys() == keys


@pytest.mark.parametrize("name", families())
def test_new_blocks_write_nothing_into_the_stream(name):
    depth = silent_depth(stage(name))
    writers = [
        families()[name].key(block, tensor)
        for block in families()[name].blocks
        for tensor, axes in block.tensors.items()
        if "stream.out" in labels_of(axes)
    ]
    assert len(writers) >= 2
    assert {tuple(depth[writer].mix.sum(1).tolist()) for writer in writers} == {(1, 0, 0, 1, 0)}


@pytest.mark.parametrize("name", families())
def test_only_gains_have_a_constant(name):
    gains = {
        families()[name].key(block, tensor)
        for block in families()[name].blocks
        for tensor, axes in block.tensors.items()
        if axes == ("norm.gain",)
    }
    depth = silent_depth(stage(name))
    assert gains
    assert {key for key, begin in depth.items() if begin.constant is not None} == gains


def test_post_norm_gains_move_to_the_end_of_their_run():
    begin = silent_depth(Stage(families()["bert"], SMALL, DEEPER))
    closing, inner = begin["output.LayerNorm.weight"], begin["attention.output.LayerNorm.weight"]
    assert closing.mix.sum(1).tolist() == [0, 0, 1, 0, 1]
    assert closing.constant.tolist() == [1, 1, 0, 1, 0]
    assert inner.mix.sum(1).tolist() == [1, 0, 0, 1, 0]
    assert inner.constant.tolist() == [0, 1, 1, 0, 1]


def test_pre_norm_gains_are_copied():
    begin = silent_depth(Stage(families()["gpt2"], SMALL, DEEPER))["ln_1.weight"]
    assert begin.mix.argmax(1).tolist() == [0, 0, 0, 1, 1]
    assert begin.mix.sum(1).tolist() == [1] * 5
    assert not begin.constant.any()


def test_both_stacks_of_an_encoder_decoder_have_a_depth_of_their_own():
    family = families()["t5"]
    small = zoo.small_shape(family, layers=2, decoder_layers=1)
    depth = silent_depth(Stage(family, small, small.model_copy(update={"layers": 3, "decoder_layers": 4})))
    sizes = {key.partition(".")[0]: tuple(begin.mix.shape) for key, begin in depth.items()}
    assert sizes == {"encoder": (3, 2), "decoder": (4, 1)}


def test_copies_change_nothing_but_the_order():
    depth = copied_depth(Stage(families()["bert"], SMALL, DEEPER), stacked_layers)
    assert {tuple(begin.mix.argmax(1).tolist()) for begin in depth.values()} == {(0, 1, 0, 1, 0)}
    assert {tuple(begin.mix.sum(1).tolist()) for begin in depth.values()} == {(1, 1, 1, 1, 1)}
    assert not any(begin.constant.any() for begin in depth.values() if begin.constant is not None)
