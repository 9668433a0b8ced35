"""Exactness as a property: whatever the shapes, in every family and direction, growth from the start keeps the function."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fedgrow.architectures import families, read
from fedgrow.growth.exactness import DIRECTIONS
from tests import zoo
from tests.growth.growing import KINDS, grown, share_of_difference
from tests.parity.test_every_family import small_eps, tolerance

ROTARY = 1e-6  # frequencies are float32 in transformers
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
EXAMPLES = settings(max_examples=20, deadline=None, derandomize=True, phases=PHASES)
EXACT = [d for d in DIRECTIONS if d.name != "width, other ratio"]


@st.composite
def small_models(draw, family):
    """Draw a model of any head: heads in groups, free head sizes and partly turning heads where there are any."""
    kv_heads, group = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    heads = kv_heads * group
    size = draw(st.integers(1, 3)) * (4 if family.rotary else 1)  # half of GPT-NeoX's entries turn, in pairs
    width = heads * size * (draw(st.integers(1, 3)) if family.free_head_size else 1)
    sizes = {"kv_heads": kv_heads} if "kv_heads" in family.config else {}
    if "decoder_layers" in family.config:
        sizes["decoder_layers"] = draw(st.integers(1, 2))
    width = max(width, 2)
    shape = zoo.small_shape(
        family,
        layers=draw(st.integers(1, 2)),
        heads=heads,
        head_size=size,
        width=width if family.free_head_size else heads * size,
        ffn=draw(st.integers(1, 12)),
        **sizes,
    )
    head = draw(st.sampled_from([None, *family.heads]))
    small = zoo.model(family, head, shape, seed=draw(st.integers(0, 9)), **small_eps(family))
    zoo.exact_embedding_scale(small)
    return small, head


@EXAMPLES
@given(data=st.data())
@pytest.mark.parametrize("name", families())
def test_one_direction_after_another(name, data):
    family = families()[name]
    small, head = data.draw(small_models(family))

    def draw(low, high):
        return data.draw(st.integers(low, high))

    # OPT-350m's epsilon is fixed in code: for depth, a stream with next to no variance is nothing for it
    wanted = [d for d in EXACT if name != "opt-post" or d.exactness(family) == "exact"]
    possible = [d for d in wanted if d.applies(family)]
    chosen = [data.draw(st.sampled_from(possible)) for _ in range(draw(1, 2))]
    targets, kinds = [read(small).shape], []
    for direction in chosen:
        targets.append(direction.grow(family, targets[-1], draw))
        kinds.append(data.draw(st.sampled_from(KINDS)))
    gap = share_of_difference(small, grown(small, targets[1:], kinds), family, head)
    assert gap <= max(tolerance(family, direction.exactness(family)) for direction in chosen)
