"""Every table: its labels, names, ties, classes and norms."""

import pytest
import torch
import transformers

from fedgrow.architectures import Shape, families
from fedgrow.architectures.axes import BODY_AXES, KNOWN_AXES, STRUCTURAL_AXES, axis_size, grows, parts
from tests import zoo

SHAPE = Shape(layers=2, width=8, heads=2, ffn=12)
PRIVATE = {axis for axis in STRUCTURAL_AXES if axis.startswith(("pooled", "transform"))} | {"label"}


def labels(spec):
    return {part for label in spec.axes for part in parts(label)}


def shape_of(name):
    return zoo.small_shape(families()[name])


@pytest.mark.parametrize(("name", "head"), zoo.NAMES, ids=str)
class TestEveryTable:
    def test_every_axis_is_known(self, name, head):
        for spec in families()[name].specs(head):
            assert labels(spec) <= KNOWN_AXES, spec.name

    def test_the_body_has_no_axis_of_a_private_head(self, name, head):
        for spec in families()[name].specs(head):
            if spec.part == "body":
                assert not labels(spec) & PRIVATE, spec.name

    def test_names_are_given_once(self, name, head):
        names = [n for spec in families()[name].specs(head) for n in spec.names(shape_of(name))]
        assert len(names) == len(set(names))

    def test_keys_of_the_body_are_the_same_with_every_head(self, name, head):
        body = {s.key: s.axes for s in families()[name].specs(None) if s.part == "body"}
        with_head = {s.key: s.axes for s in families()[name].specs(head) if s.part == "body"}
        assert with_head.items() <= body.items()

    def test_tied_tensors_are_tied_to_one_of_the_table_of_as_many_dimensions(self, name, head):
        specs = {spec.name: spec for spec in families()[name].specs(head)}
        tied = [spec for spec in specs.values() if spec.tied_to]
        assert all(len(specs[spec.tied_to].axes) == len(spec.axes) for spec in tied)


@pytest.mark.parametrize("name", families())
class TestEveryFamily:
    def test_its_classes_are_made_from_its_configuration(self, name):
        config = zoo.config(families()[name], shape_of(name))
        for head in families()[name].heads.values():
            assert getattr(transformers, head.architecture).config_class is type(config)

    def test_the_closing_norm_is_a_norm_of_the_block(self, name):
        table = families()[name]
        for block in table.blocks:
            assert (block.closing_norm is None) is (table.norm == "pre")
            closing = [] if table.norm == "pre" else [f"{block.closing_norm}.weight"]
            assert [block.tensors[tensor] for tensor in closing] == [("norm.gain",)] * len(closing)

    def test_what_it_says_of_the_final_norm_are_vectors_of_its_body(self, name):
        table = families()[name]
        assert {table.body[tensor] for tensor in table.final_norm} <= {("norm.gain",), ("norm.shift",)}

    def test_optional_tensors_are_tensors_of_the_block(self, name):
        for block in families()[name].blocks:
            assert set(block.optional) <= set(block.tensors)

    def test_every_block_writes_and_reads_the_stream(self, name):
        for block in families()[name].blocks:
            found = {part for axes in block.tensors.values() for label in axes for part in parts(label)}
            assert {
                "stream.out",
                "norm.in",
                "norm.gain",
                "query.out",
                "key.out",
                "value.in",
                "ffn.in",
            } <= found

    def test_learned_axes_keep_their_usual_order(self, name):
        learned = families()[name].learned_axes
        assert [axis for axis in BODY_AXES if axis in learned] == list(learned)
        assert ("norm.shift" in learned) is (families()[name].norm_kind == "layer")


def test_encoder_decoders_name_the_stack_in_their_keys():
    keys = {spec.key for spec in families()["t5"].specs(None) if spec.in_block}
    assert {key.partition(".")[0] for key in keys} == {"encoder", "decoder"}
    assert {s.key.partition(".")[0] for s in families()["bert"].specs(None) if s.in_block} == {
        "attention",
        "intermediate",
        "output",
    }


def test_a_head_on_one_stack_has_the_tensors_of_that_stack_only():
    specs = list(families()["t5"].specs("token-classification"))
    assert all("decoder" not in spec.name for spec in specs)
    assert sum(spec.in_block for spec in specs) == 8


@pytest.mark.parametrize(
    ("label", "size"),
    [
        ("vocab", None),
        ("label", None),
        ("embedding", None),
        ("stream.out", 8),
        ("norm.gain", 8),
        ("scale.gain", 8),
        ("pooled.in", 8),
        ("transform.out", 8),
        ("ffn.in", 12),
        ("query.out", 30),
        ("key.out", 10),
        ("value.out", 10),
        ("value.in", 30),
        ("query_norm.gain", 5),
        ("key_norm.gain", 5),
        ("head.out", 6),
        ("query.out|key.out|value.out", 50),
        ("norm.in|norm.in", 16),
    ],
)
def test_sizes_of_axes(label, size):
    shape = Shape(layers=2, width=8, heads=6, kv_heads=2, head_size=5, ffn=12)
    assert axis_size(label, shape) == size
    assert grows(label) is (size is not None)


@pytest.mark.parametrize(("name", "head"), zoo.NAMES)
def test_sizes_of_real_tensors_are_those_of_their_labels(name, head):
    family = families()[name]
    tensors = zoo.model(family, head, shape_of(name)).state_dict()
    for spec in family.specs(head):
        for full in spec.names(shape_of(name)):
            sizes = tensors.get(full, torch.empty(0)).shape
            expected = [axis_size(label, shape_of(name)) for label in spec.axes]
            assert full not in tensors or all(e in (None, s) for s, e in zip(sizes, expected, strict=True)), (
                full
            )
