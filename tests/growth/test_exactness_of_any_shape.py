"""Exactness as a property: whatever the shapes, growth from the start keeps the logits."""

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fedgrow.architectures import Shape
from tests import tiny
from tests.growth.growing import KINDS, difference, grown

EXACT = 1e-9
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
SECONDS = settings(max_examples=40, deadline=None, derandomize=True, phases=PHASES)
kinds = st.sampled_from(KINDS)


@st.composite
def small_shapes(draw):
    heads, head_size = draw(st.tuples(st.integers(1, 3), st.integers(1, 4)).filter(lambda t: t[0] * t[1] > 1))
    return Shape(
        layers=draw(st.integers(1, 3)),
        width=heads * head_size,
        heads=heads,
        ffn=draw(st.integers(1, 12)),
    )


@st.composite
def larger(draw, small, *, multiple=False):
    """Draw a shape that is at least as large; its width a multiple of the small one, if asked for."""
    heads = small.heads * draw(st.integers(1, 2)) if multiple else small.heads + draw(st.integers(0, 3))
    size = (
        small.head_size * draw(st.integers(1, 3)) if multiple else small.head_size + draw(st.integers(0, 3))
    )
    return Shape(
        layers=small.layers + draw(st.integers(0, 3)),
        width=heads * size,
        heads=heads,
        ffn=small.ffn + draw(st.integers(0, 12)),
    )


@SECONDS
@given(data=st.data(), name=st.sampled_from(["vit", "gpt2", "gpt2-classify"]), kind=kinds)
def test_pre_norm(data, name, kind):
    shape = data.draw(small_shapes())
    small = tiny.model(name, shape)
    assert difference(name, small, grown(small, [data.draw(larger(shape))], [kind])) <= EXACT


@SECONDS
@given(data=st.data(), name=st.sampled_from(["vit", "gpt2"]), kinds=st.tuples(kinds, kinds))
def test_pre_norm_in_two_stages(data, name, kinds):
    shape = data.draw(small_shapes())
    middle = data.draw(larger(shape))
    small = tiny.model(name, shape)
    assert difference(name, small, grown(small, [middle, data.draw(larger(middle))], kinds)) <= EXACT


@SECONDS
@given(data=st.data(), name=st.sampled_from(["bert", "bert-mlm"]), kind=kinds)
def test_post_norm_with_integer_width(data, name, kind):
    shape = data.draw(small_shapes())
    small = tiny.model(name, shape, layer_norm_eps=1e-12)
    large = grown(small, [data.draw(larger(shape, multiple=True))], [kind])
    assert difference(name, small, large) <= EXACT
