"""The exactness table (docs/exactness.md), cell by cell, against transformers' own forward in float64."""

import pytest

from fedgrow.architectures import Shape
from tests import tiny
from tests.growth.growing import KINDS, SMALL, difference, grown

EXACT = 1e-9
OF_ORDER_EPS = 1e-4  # at eps 1e-5
PRE_NORM = ("vit", "gpt2", "gpt2-classify")
POST_NORM = ("bert", "bert-mlm")
BOTH = (*PRE_NORM, *POST_NORM)

# Head size is width / heads in these families, so width, heads and head size move together.
FFN = {
    "one more": Shape(layers=2, width=8, heads=2, ffn=13),
    "integer": Shape(layers=2, width=8, heads=2, ffn=24),
    "uneven": Shape(layers=2, width=8, heads=2, ffn=31),
}
INTEGER_WIDTH = {
    "double, more heads": Shape(layers=2, width=16, heads=4, ffn=12),
    "double, larger heads": Shape(layers=2, width=16, heads=2, ffn=12),
    "triple, more and larger heads": Shape(layers=2, width=24, heads=3, ffn=12),
}
ODD_WIDTH = {
    "more heads": Shape(layers=2, width=12, heads=3, ffn=12),
    "larger heads": Shape(layers=2, width=10, heads=2, ffn=12),
    "more and larger heads": Shape(layers=2, width=15, heads=3, ffn=12),
}
DEPTH = {
    "one more layer": Shape(layers=3, width=8, heads=2, ffn=12),
    "double": Shape(layers=4, width=8, heads=2, ffn=12),
    "uneven runs": Shape(layers=5, width=8, heads=2, ffn=12),
}
ALL_INTEGER = Shape(layers=5, width=24, heads=4, ffn=29)
ALL_ODD = Shape(layers=3, width=20, heads=5, ffn=29)
TWO_INTEGER = (Shape(layers=3, width=16, heads=4, ffn=20), Shape(layers=5, width=32, heads=4, ffn=23))
TWO_ODD = (Shape(layers=3, width=12, heads=3, ffn=20), Shape(layers=4, width=20, heads=4, ffn=23))


def by_name(*tables):
    return [pytest.param(shape, id=name) for table in tables for name, shape in table.items()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BOTH)
class TestExactForEveryNorm:
    @pytest.mark.parametrize("target", by_name(FFN))
    def test_ffn(self, name, kind, target):
        small = tiny.model(name, SMALL)
        assert difference(name, small, grown(small, [target], [kind])) <= EXACT

    @pytest.mark.parametrize("target", by_name(INTEGER_WIDTH))
    def test_integer_width(self, name, kind, target):
        small = tiny.model(name, SMALL)
        assert difference(name, small, grown(small, [target], [kind])) <= EXACT

    def test_nothing_to_grow(self, name, kind):
        small = tiny.model(name, SMALL)
        assert difference(name, small, grown(small, [SMALL], [kind])) <= EXACT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PRE_NORM)
class TestExactUnderPreNorm:
    @pytest.mark.parametrize("target", by_name(ODD_WIDTH))
    def test_odd_width(self, name, kind, target):
        small = tiny.model(name, SMALL)
        assert difference(name, small, grown(small, [target], [kind])) <= EXACT

    @pytest.mark.parametrize("target", by_name(DEPTH))
    def test_depth(self, name, kind, target):
        small = tiny.model(name, SMALL)
        assert difference(name, small, grown(small, [target], [kind])) <= EXACT

    @pytest.mark.parametrize("target", [ALL_INTEGER, ALL_ODD], ids=["integer width", "odd width"])
    def test_all_directions(self, name, kind, target):
        small = tiny.model(name, SMALL)
        assert difference(name, small, grown(small, [target], [kind])) <= EXACT

    @pytest.mark.parametrize("targets", [TWO_INTEGER, TWO_ODD], ids=["integer width", "odd width"])
    @pytest.mark.parametrize("local", KINDS)
    def test_local_then_global(self, name, kind, local, targets):
        small = tiny.model(name, SMALL)
        assert difference(name, small, grown(small, targets, [local, kind])) <= EXACT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", POST_NORM)
class TestPostNormDepth:
    """A norm of a norm's output is the identity only up to O(eps)."""

    @pytest.mark.parametrize("target", by_name(DEPTH))
    def test_as_good_as_exact_at_bert_eps(self, name, kind, target):
        small = tiny.model(name, SMALL, layer_norm_eps=1e-12)
        assert difference(name, small, grown(small, [target], [kind])) <= EXACT

    @pytest.mark.parametrize("target", by_name(DEPTH))
    def test_of_the_order_of_eps(self, name, kind, target):
        small = tiny.model(name, SMALL, layer_norm_eps=1e-5)
        assert EXACT < difference(name, small, grown(small, [target], [kind])) <= OF_ORDER_EPS

    def test_depth_with_integer_width(self, name, kind):
        small = tiny.model(name, SMALL, layer_norm_eps=1e-12)
        assert difference(name, small, grown(small, [ALL_INTEGER], [kind])) <= EXACT

    @pytest.mark.parametrize("local", KINDS)
    def test_local_then_global(self, name, kind, local):
        small = tiny.model(name, SMALL, layer_norm_eps=1e-12)
        assert difference(name, small, grown(small, TWO_INTEGER, [local, kind])) <= EXACT


@pytest.mark.parametrize("name", PRE_NORM)
@pytest.mark.parametrize("eps", [1e-12, 1e-5, 1e-2])
def test_pre_norm_width_is_exact_at_every_eps(name, eps):
    field = "layer_norm_epsilon" if name.startswith("gpt2") else "layer_norm_eps"
    small = tiny.model(name, SMALL, **{field: eps})
    assert difference(name, small, grown(small, [ALL_ODD], ["tied"])) <= EXACT


@pytest.mark.parametrize("name", POST_NORM)
@pytest.mark.parametrize("eps", [1e-12, 1e-5, 1e-2])
def test_post_norm_integer_width_is_exact_at_every_eps(name, eps):
    small = tiny.model(name, SMALL, layer_norm_eps=eps)
    target = Shape(layers=2, width=16, heads=4, ffn=20)
    assert difference(name, small, grown(small, [target], ["tied"])) <= EXACT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["gpt2", "bert-mlm"])
def test_untied_heads(name, kind):
    small = tiny.model(name, SMALL, tie_word_embeddings=False)
    target = Shape(layers=2, width=16, heads=4, ffn=12)
    assert difference(name, small, grown(small, [target], [kind])) <= EXACT


@pytest.mark.parametrize("name", ["bert-body", "vit-body"])
def test_poolers(name):
    small = tiny.model(name, SMALL)
    large = grown(small, [Shape(layers=2, width=16, heads=4, ffn=20)], ["tied"])
    batch = tiny.inputs(name)
    old, new = (model(**batch).pooler_output for model in (small, large))
    assert (new[..., : SMALL.width] - old).abs().max() <= EXACT


def test_projections_without_bias():
    small = tiny.model("vit", SMALL, qkv_bias=False)
    assert difference("vit", small, grown(small, [ALL_ODD], ["tied"])) <= EXACT


@pytest.mark.parametrize("name", ["bert-body", "vit-body", "gpt2-body"])
def test_bare_bodies_keep_their_old_outputs(name):
    small = tiny.model(name, SMALL)
    large = grown(small, [Shape(layers=2, width=16, heads=4, ffn=20)], ["tied"])
    batch = tiny.inputs(name)
    old, new = tiny.logits(small, batch), tiny.logits(large, batch)
    assert (new[..., : SMALL.width] - old).abs().max() <= EXACT
