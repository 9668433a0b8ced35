"""A target named in part becomes a whole shape, or an error that names choices."""

import jaxtyping
import numpy as np
import pytest

from fedgrow.architectures import Shape, families
from fedgrow.errors import ShapeError
from fedgrow.growth.target import complete, parse_target

BERT = Shape(layers=2, width=128, heads=2, ffn=512)
LLAMA = Shape(layers=4, width=256, heads=8, kv_heads=2, head_size=32, ffn=700, rotary=32)
T5 = Shape(layers=2, decoder_layers=2, width=64, heads=4, head_size=8, ffn=128)
DINO = Shape(layers=2, width=8, heads=2, ffn=32)
NEOX = Shape(layers=2, width=64, heads=4, ffn=256, rotary=4)


def grown(name, source, target):
    shape = complete(families()[name], source, target)
    return {axis: size for axis, size in shape.model_dump().items() if size != getattr(source, axis)}


@pytest.mark.parametrize(
    ("name", "source", "target", "changes"),
    [
        ("bert", BERT, "layers=3", {"layers": 3}),
        ("bert", BERT, "ffn=600", {"ffn": 600}),
        ("bert", BERT, "width=256", {"width": 256, "heads": 4, "kv_heads": 4, "ffn": 1024}),
        ("bert", BERT, "width=256,heads=2", {"width": 256, "head_size": 128, "ffn": 1024}),
        ("bert", BERT, "width=256, ffn=512", {"width": 256, "heads": 4, "kv_heads": 4}),
        ("bert", BERT, "heads=4", {"width": 256, "heads": 4, "kv_heads": 4, "ffn": 1024}),
        ("bert", BERT, "head_size=96", {"width": 192, "head_size": 96, "ffn": 768}),
        ("bert", BERT, {"width": 256, "head_size": 128}, {"width": 256, "head_size": 128, "ffn": 1024}),
        ("llama", LLAMA, "width=384", {"width": 384, "heads": 12, "kv_heads": 3, "ffn": 1050}),
        ("llama", LLAMA, "width=257,heads=8", {"width": 257, "ffn": 703}),
        ("llama", LLAMA, "heads=16", {"heads": 16, "kv_heads": 4}),
        ("llama", LLAMA, "kv_heads=8", {"kv_heads": 8}),
        ("llama", LLAMA, "head_size=64", {"head_size": 64, "rotary": 64}),
        ("qwen3", LLAMA, "heads=10", {"heads": 10}),
        ("t5", T5, "layers=3", {"layers": 3, "decoder_layers": 3}),
        ("t5", T5, "decoder_layers=3", {"decoder_layers": 3}),
        ("t5", T5.model_copy(update={"decoder_layers": 1}), "layers=3", {"layers": 3}),
        ("t5", T5, "width=100", {"width": 100, "ffn": 200}),
        ("gpt_neox", NEOX, "width=96", {"width": 96, "heads": 6, "kv_heads": 6, "ffn": 384}),
        ("gpt_neox", NEOX, "width=128,heads=4", {"width": 128, "head_size": 32, "ffn": 512}),
        ("dinov2", DINO, "width=16", {"width": 16, "heads": 4, "kv_heads": 4, "ffn": 64}),
    ],
)  # fmt: skip
def test_what_is_not_named_stays_or_follows(name, source, target, changes):
    assert grown(name, source, target) == changes


def test_a_gated_ffn_of_whole_ratios_keeps_its_ratio():
    family = families()["dinov2-swiglu"]
    source = Shape(layers=1, width=12, heads=2, ffn=32)
    assert complete(family, source, "width=24").ffn == 64


def test_a_whole_shape_is_taken_as_it_is():
    target = BERT.model_copy(update={"layers": 5})
    assert complete(families()["bert"], BERT, target) == target


@pytest.mark.parametrize(
    ("name", "source", "target", "words"),
    [
        ("bert", BERT, "width", "'width' is no size; write name=number"),
        ("bert", BERT, "width=-3", "'width=-3' is no size"),
        ("bert", BERT, "depth=3", "'depth' is no size of bert; possible: layers, width, heads, head_size, ffn"),
        ("bert", BERT, "kv_heads=1", "'kv_heads' is no size of bert"),
        ("bert", BERT, "hidden_size=256", r"'hidden_size' is no size of bert \(it is called width here\)"),
        ("bert", BERT, "decoder_layers=1", "'decoder_layers' is no size of bert"),
        ("bert", BERT, "", "no size is named"),
        ("bert", BERT, "layers=3,layers=4", "layers is named twice"),
        ("bert", BERT, "layers=0", "layers=0; a size is a whole number from 1 to 16777216"),
        ("bert", BERT, "layers=99999999999", "target: layers=99999999999; a size is a whole number from 1 to 16777216"),
        ("bert", BERT, "width=16777216", "target: ffn=67108864; a size is a whole number"),
        ("bert", BERT, "layers=2", "the model's own shape"),
        ("bert", BERT, BERT, "the model's own shape"),
        ("bert", BERT, "width=200", r"200 is no multiple of the head size 64; choose width=192 \(3 heads\) or width=256"),
        ("bert", BERT, "width=100", r"choose width=128 \(2 heads\), or name heads or head_size too"),
        ("bert", BERT, "width=129,head_size=96", r"head size 96; choose width=192 \(2 heads\), or name heads too"),
        ("bert", BERT, "width=129,head_size=192", r"head size 192; choose width=384 \(2 heads\), or name heads too"),
    ],
)  # fmt: skip
def test_errors_name_what_was_found_and_what_is_possible(name, source, target, words):
    with pytest.raises(ShapeError, match=words):
        complete(families()[name], source, target)


@pytest.fixture
def unchecked():
    """Let wrong types through, as they come from users; these tests' own checks of types would stop them."""
    jaxtyping.config.update("jaxtyping_disable", True)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"layers": "3"}, "target: layers='3'; a size is a whole number"),
        ({"layers": None}, "target: layers=None; a size"),
        ({"layers": True}, "target: layers=True; a size"),
        ({"layers": 3.0}, r"target: layers=3\.0; a size"),
        ({3: 3}, "3 is no size of bert"),
        (None, "target: None names no sizes; give a shape, or sizes by name, such as layers=12"),
        (3, "target: 3 names no sizes"),
    ],
)
def test_what_is_no_number_is_named(target, words):
    with pytest.raises(ShapeError, match=words):
        complete(families()["bert"], BERT, target)


@pytest.mark.usefixtures("unchecked")
def test_numbers_of_numpy_are_numbers():
    assert grown("bert", BERT, {"layers": np.int64(3)}) == {"layers": 3}


def test_spaces_are_allowed():
    assert parse_target(" layers = 3 , width=8 ") == {"layers": 3, "width": 8}
