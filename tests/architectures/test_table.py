import pytest
import transformers

from fedgrow.architectures import Shape, families, family_of
from fedgrow.architectures.table import BODY_AXES, FIXED_AXES, HEAD_AXES, axis_size
from fedgrow.errors import ArchitectureError
from tests import tiny

SHAPE = Shape(layers=2, width=8, heads=2, ffn=12)
HEADS = [(family, head) for family, table in families().items() for head in (None, *table.heads)]
every_family = pytest.mark.parametrize("family", ["bert", "gpt2", "vit"])


def labels(spec):
    return {part for label in spec.axes for part in label.split("|")}


def test_every_table_loads():
    assert list(families()) == ["bert", "gpt2", "vit"]


@pytest.mark.parametrize(("family", "head"), HEADS, ids=str)
class TestEveryTable:
    def test_every_axis_is_known(self, family, head):
        for spec in families()[family].specs(head):
            assert labels(spec) <= FIXED_AXES.union(BODY_AXES, HEAD_AXES), spec.name

    def test_the_body_has_no_axis_of_a_private_head(self, family, head):
        for spec in families()[family].specs(head):
            if spec.part == "body":
                assert not labels(spec) & {*HEAD_AXES, "label"}, spec.name

    def test_names_are_given_once(self, family, head):
        names = [name for spec in families()[family].specs(head) for name in spec.names(3)]
        assert len(names) == len(set(names))

    def test_tied_tensors_are_tied_to_one_of_the_table(self, family, head):
        specs = {spec.name: spec for spec in families()[family].specs(head)}
        for spec in specs.values():
            assert spec.tied_to is None or len(specs[spec.tied_to].axes) == len(spec.axes)


@every_family
class TestEveryFamily:
    def test_its_classes_exist(self, family):
        for head in families()[family].heads.values():
            assert hasattr(transformers, head.auto_class)
            assert hasattr(transformers, head.architecture)

    def test_the_closing_norm_is_a_norm_of_the_block(self, family):
        table = families()[family]
        assert (table.block.closing_norm is None) is (table.norm == "pre")
        if table.block.closing_norm:
            assert table.block.tensors[f"{table.block.closing_norm}.weight"] == ("norm.gain",)

    def test_the_shape_makes_the_round_trip_through_the_configuration(self, family):
        table = families()[family]
        config = tiny.config(family, SHAPE)
        larger = Shape(layers=3, width=18, heads=3, ffn=20)
        for field, value in table.config_values(larger).items():
            setattr(config, field, value)
        assert table.shape(config) == larger


def test_gpt2_without_inner_width_has_four_times_the_width():
    assert families()["gpt2"].shape(tiny.config("gpt2", SHAPE, n_inner=None)).ffn == 32


def test_a_family_without_a_table_is_refused_by_name():
    with pytest.raises(
        ArchitectureError, match="model_type 't5' has no growth table; known families: bert, gpt2, vit"
    ):
        family_of(transformers.T5Config())


@pytest.mark.parametrize(
    ("field", "value"),
    [("scale_attn_by_inverse_layer_idx", True), ("scale_attn_weights", False), ("add_cross_attention", True)],
)
def test_a_setting_without_a_growth_rule_is_refused_by_name(field, value):
    with pytest.raises(ArchitectureError, match=f"gpt2: {field}={value} has no growth rule"):
        family_of(tiny.config("gpt2", SHAPE, **{field: value}))


@pytest.mark.parametrize(
    ("label", "size"),
    [
        ("vocab", None),
        ("label", None),
        ("stream.out", 8),
        ("norm.gain", 8),
        ("pooled.in", 8),
        ("ffn.in", 12),
        ("value.out", 8),
        ("query.out|key.out|value.out", 24),
    ],
)
def test_sizes_of_axes(label, size):
    assert axis_size(label, SHAPE) == size
