"""Exactness beyond the table (tests/parity walks that): every operator, every pair of them, epsilon, poolers."""

import pytest

from fedgrow.architectures import Shape, families, read
from fedgrow.growth.exactness import DIRECTIONS
from tests import tiny, zoo
from tests.growth.growing import KINDS, SMALL, difference, grown, share_of_difference

EXACT = 1e-9
ROTARY = 1e-6  # frequencies are float32 in transformers
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


ONE_HEAD_EACH = [(name, next(iter(family.heads))) for name, family in families().items()]
NOTHING = [(*one, kind) for kind in KINDS for one in (zoo.NAMES if kind == "tied" else ONE_HEAD_EACH)]


@pytest.mark.parametrize(("name", "head", "kind"), NOTHING)
def test_nothing_to_grow_changes_nothing(name, head, kind):
    small = zoo.model(families()[name], head, zoo.small_shape(families()[name]))
    zoo.exact_embedding_scale(small)
    large = grown(small, [read(small).shape], [kind])
    assert share_of_difference(small, large, families()[name], head) <= EXACT


WITHOUT_BIAS = {
    "vit": {"qkv_bias": False},
    "deit": {"qkv_bias": False},
    "dinov2": {"qkv_bias": False},
    "gpt_neox": {"attention_bias": False},
    "opt": {"enable_bias": False},
    "opt-post": {"enable_bias": False},
}
WITH_BIAS = {"llama": {"attention_bias": True, "mlp_bias": True}, "qwen3": {"attention_bias": True}}


@pytest.mark.parametrize("name", WITHOUT_BIAS | WITH_BIAS)
def test_projections_with_and_without_bias(name):
    family = families()[name]
    head, sizes = next(iter(family.heads)), zoo.small_shape(family)
    small = zoo.model(family, head, sizes, **(WITHOUT_BIAS | WITH_BIAS)[name])
    usual = zoo.model(family, head, sizes)
    assert len(small.state_dict()) != len(usual.state_dict())
    exact = "width, integer multiple" if family.norm == "post" else "all together"
    direction = next(d for d in DIRECTIONS if d.name == exact)
    large = grown(small, [direction.grow(family, read(small).shape, lambda low, high: high)], ["tied"])
    assert share_of_difference(small, large, family, head) <= ROTARY
