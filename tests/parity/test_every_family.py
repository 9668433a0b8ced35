"""Every family, head and direction of the exactness table, against transformers' own forward pass in float64."""

import random
import zlib

import pytest

from fedgrow.architectures import Shape, families, read
from fedgrow.errors import ShapeError
from fedgrow.growth import OPERATORS, Stage
from fedgrow.growth.exactness import DIRECTIONS
from tests import zoo
from tests.growth.growing import grown
from tests.growth.growing import share_of_difference as difference

EXACT = 1e-9
ROTARY = 1e-6  # frequencies are float32 in transformers
OF_ORDER_EPS = 1e-3  # where epsilon is fixed at 1e-5 in code; these models are tiny
CELLS = [
    pytest.param(name, head, direction, id=f"{name}-{head or 'body'}-{direction.name}")
    for name, head in zoo.NAMES
    for direction in DIRECTIONS
    if direction.applies(families()[name])
]

MAY_BE_TIED = [
    (name, head)
    for name, head in zoo.NAMES
    if head and families()[name].heads[head].ties and not name.startswith("t5")  # T5's is always tied
]


def tolerance(family, declared):
    """Return how far from exact a cell may be: post-norm depth is tested at epsilon 1e-12 wherever that can be set."""
    if "epsilon" in declared and family.family == "opt-post":
        return OF_ORDER_EPS
    return ROTARY if "rotary" in declared else EXACT


def small_eps(family):
    """Return the setting that makes post-norm depth as good as exact."""
    return {family.config["norm_eps"]: 1e-12} if family.norm == "post" and "norm_eps" in family.config else {}


def drawing(*key):
    """Return a function that draws whole numbers, the same in every run for the same key."""
    return random.Random(zlib.crc32(repr(key).encode())).randint


def small_model(family, head, draw, **overrides):
    groups = {"kv_heads": draw(1, 2)} if "kv_heads" in family.config else {}
    shape = zoo.small_shape(family, layers=draw(1, 3), heads=2, head_size=4, **groups)
    small = zoo.model(family, head, shape, seed=draw(0, 99), **overrides)
    zoo.exact_embedding_scale(small)
    return small


@pytest.mark.parametrize(("name", "head", "direction"), CELLS)
def test_cell(name, head, direction):
    family, draw = families()[name], drawing(name, head, direction.name)
    declared = direction.exactness(family)
    small = small_model(family, head, draw, **(small_eps(family) if declared != "exact" else {}))
    target = direction.grow(family, read(small).shape, draw)
    gap = difference(small, grown(small, [target], ["tied"]), family, head)
    if declared == "approximate":
        assert EXACT < gap < 1.0
    else:
        assert gap <= tolerance(family, declared)


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("name", families())
def test_all_directions_in_two_stages_with_every_operator(name, kind):
    family, draw = families()[name], drawing(name, kind)
    head = next(iter(family.heads))
    small = small_model(family, head, draw, **small_eps(family))
    everything = next(d for d in DIRECTIONS if d.name == "all together")
    middle = everything.grow(family, read(small).shape, draw)
    target = everything.grow(family, middle, draw)
    gap = difference(small, grown(small, [middle, target], ["low-rank", kind]), family, head)
    assert gap <= max(ROTARY, tolerance(family, everything.exactness(family)))


@pytest.mark.parametrize(("name", "head"), MAY_BE_TIED)
def test_an_untied_head(name, head):
    family, draw = families()[name], drawing(name)
    small = small_model(family, head, draw, tie_word_embeddings=False)
    assert not read(small).tied
    direction = next(d for d in DIRECTIONS if d.name == "width, integer multiple")
    large = grown(small, [direction.grow(family, read(small).shape, draw)], ["tied"])
    assert difference(small, large, family, head) <= EXACT


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma", "gpt_neox", "opt"])
def test_a_tied_head(name):
    family, draw = families()[name], drawing(name)
    small = small_model(family, "causal-language-modelling", draw, tie_word_embeddings=True)
    assert read(small).tied
    everything = next(d for d in DIRECTIONS if d.name == "all together")
    large = grown(small, [everything.grow(family, read(small).shape, draw)], ["tied"])
    assert read(large).tied
    assert difference(small, large, family, "causal-language-modelling") <= ROTARY


def test_groups_that_do_not_fit_are_refused_with_the_nearest_number():
    source = Shape(layers=1, width=16, heads=8, kv_heads=2, head_size=4, ffn=8)
    target = source.model_copy(update={"heads": 9, "kv_heads": 3, "width": 18})
    with pytest.raises(
        ShapeError, match=r"8 heads in 2 groups do not fit into 9 heads in 3 groups; choose kv_heads=9"
    ):
        Stage(families()["llama"], source, target)
