"""Constant factors of embeddings and final norms, family by family."""

import math

import pytest

from fedgrow.architectures import families, read
from fedgrow.growth import Stage
from fedgrow.growth.factors import factor
from tests import zoo

ROOT = math.sqrt(3)
GENERATE, CLASSIFY = "causal-language-modelling", "sequence-classification"
SEQ2SEQ = "sequence-to-sequence-language-modelling"
# from width 8 to 24: what the embeddings and the final norm are multiplied by
EXPECTED = {
    ("llama", GENERATE, True): (1, 1),
    ("llama", GENERATE, False): (1, 1),
    ("gpt2", GENERATE, True): (1, 1),
    ("opt", GENERATE, True): (1, 1 / ROOT),  # the stream, and with it the tied vocabulary, is written larger
    ("opt", GENERATE, False): (1, 1),
    ("opt", CLASSIFY, None): (1, 1),
    ("qwen3", GENERATE, True): (1, 1 / ROOT),
    ("qwen3", GENERATE, False): (1, 1),
    ("gemma", GENERATE, True): (1 / ROOT, 1),  # embeddings are multiplied by the root of the width themselves
    ("gemma", GENERATE, False): (1 / ROOT, 1),
    ("t5", SEQ2SEQ, True): (1, ROOT),  # logits are divided by the root of the width
    ("t5", CLASSIFY, None): (1, 1),
    ("bert", "masked-language-modelling", True): (1, None),
    ("gemma", None, None): (1 / ROOT, 1),
    ("opt", None, None): (1, 1),
}


def reading_of(name, head, tied):
    family = families()[name]
    settings = {} if tied is None else {"tie_word_embeddings": tied}
    shape = zoo.small_shape(family, head_size=4, heads=2)
    return read(zoo.model(family, head, shape, **settings))


def stage(reading, source=8, target=24, **settings):
    def at(width):
        heads = {} if reading.family.free_head_size else {"heads": width // 4, "kv_heads": width // 4}
        return reading.shape.model_copy(update={"width": width} | heads)

    return Stage(reading.family, at(source), at(target), **settings)


def factors(reading, stages):
    """Return the factors of the embeddings, of the final norm's vectors, and of all other tensors."""
    table, final, others = set(), set(), set()
    for spec in reading.specs:
        kind = others
        if spec.part == "body" and spec.axes == ("vocab", "stream.out"):
            kind = table
        elif spec.part == "body" and spec.key in reading.family.final_norm:
            kind = final
        kind.add(factor(reading, spec, stages))
    return table, final, others


@pytest.mark.parametrize("case", EXPECTED, ids=str)
def test_factors(case):
    reading = reading_of(*case)
    embeddings, final, others = factors(reading, [stage(reading)])
    expected_embeddings, expected_final = EXPECTED[case]
    assert sorted(embeddings) == pytest.approx([expected_embeddings])
    assert sorted(final) == pytest.approx([f for f in [expected_final] if f])
    assert others == {1.0}


@pytest.mark.parametrize("case", EXPECTED, ids=str)
def test_over_two_stages_they_are_those_of_one(case):
    reading = reading_of(*case)
    one = factors(reading, [stage(reading)])
    two = factors(reading, [stage(reading, 8, 12), stage(reading, 12, 24)])
    for once, twice in zip(one, two, strict=True):
        assert sorted(twice) == pytest.approx(sorted(once))


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "qwen3"])
def test_a_duplicated_vocabulary_is_divided_by_the_number_of_copies(name):
    reading = reading_of(name, GENERATE, True)
    embeddings, final, _ = factors(reading, [stage(reading, duplicate=True)])
    assert embeddings == {1.0}
    assert sorted(final) == pytest.approx([1 / 3])


def test_nothing_is_multiplied_where_the_width_stays():
    for name, head, tied in EXPECTED:
        reading = reading_of(name, head, tied)
        assert set.union(*factors(reading, [stage(reading, 8, 8)])) == {1.0}
