"""The cost model counts what torch counts, and chooses what is cheapest."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from fedgrow.growth.cost import (
    ELEMENT,
    MIX,
    Side,
    Way,
    Weight,
    Work,
    cheapest,
    cheapest_order,
    step_work,
    ways,
)
from fedgrow.growth.maps import LowRank, Matrix, Selection

WIDE, TALL = (768, 384), (3072, 1536)


def dense(large, small):
    return Side(small, large, large * small, learned=True)


def weight(rows=WIDE, columns=WIDE, layers=(3, 6), **settings):
    return Weight(layers[0] * rows[1] * columns[1], {0: dense(*rows), 1: dense(*columns)}, layers, **settings)


def counted(rows, columns, layers, way, tokens, *, learned):
    """Return the multiplications that torch counts in a forward and backward pass."""
    maps = {0: torch.randn(rows, requires_grad=True), 1: torch.randn(columns, requires_grad=True)}
    mix = torch.randn(layers[1], layers[0], requires_grad=True)
    w = torch.randn(layers[0], rows[1], columns[1], requires_grad=learned)
    inputs = torch.randn(layers[1], tokens, columns[0], requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        x = w
        for operation in way.order:
            if operation == MIX:
                x = (mix @ x.flatten(1)).reshape(-1, *x.shape[1:])
            else:
                x = Matrix(maps[operation]).apply(x, operation + 1)
        total = torch.zeros(())
        for layer, activations in zip(x.unbind(0), inputs.unbind(0), strict=True):
            read = Matrix(maps[1]).pull(activations, -1) if 1 in way.leave else activations
            y = read @ layer.mT
            total = total + (Matrix(maps[0]).apply(y, -1) if 0 in way.leave else y).sum()
        total.backward()
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("learned", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("tokens", [5, 300])
@pytest.mark.parametrize("index", range(4))
def test_the_count_is_torchs(index, tokens, learned):
    rows, columns, layers = (24, 16), (20, 8), (2, 3)
    described = weight(rows, columns, layers, learned=learned)
    way = ways(described, (0, 1))[index]
    found = step_work(described, way, tokens, {}).multiplications
    assert found == counted(rows, columns, layers, way, tokens, learned=learned)


@pytest.mark.parametrize("learned", [False, True], ids=["frozen", "trained"])
def test_every_order_is_counted_as_torch_counts_it(learned):
    rows, columns, layers = (24, 16), (20, 8), (2, 3)
    described = weight(rows, columns, layers, learned=learned)
    for order in described.orders():
        way = Way(frozenset(), order)
        found = step_work(described, way, 7, {}).multiplications
        assert found == counted(rows, columns, layers, way, 7, learned=learned)


def test_a_selection_costs_no_multiplications_but_elements():
    side = Side.of(Selection(torch.arange(6) % 4, torch.ones(6), 4))
    assert side.apply(10, needs_gradient=False) == Work(0, 60)
    assert not side.learned


def test_an_axis_that_stays_costs_nothing():
    side = Side.of(Selection(torch.arange(4), torch.ones(4), 4))
    assert side.apply(10, needs_gradient=True) == side.pull(10) == Work()


def test_thin_products_are_counted():
    base = Selection(torch.arange(6) % 4, torch.ones(6), 4)
    side = Side.of(LowRank(base, torch.randn(6, 2), torch.randn(4, 2)))
    assert side.cost == 2 * (6 + 4)
    assert side.learned


def test_time_weighs_elements():
    assert Work(5, 2).time == 5 + 2 * ELEMENT


def test_the_wide_side_of_the_ffn_is_mapped_first_and_the_narrow_one_left_to_activations():
    up = weight(rows=TALL, columns=WIDE)
    assert cheapest_order(up) == (0, 1, MIX)
    assert cheapest(up, 4096, {1: 1}).leave == {1}


def test_layers_are_mixed_first_where_they_become_fewer_or_maps_are_dear():
    assert cheapest_order(weight(layers=(6, 3)))[0] == MIX
    assert cheapest_order(weight(layers=(3, 6)))[-1] == MIX


def test_layers_with_their_own_maps_are_mixed_last():
    assert all(order[-1] == MIX for order in weight(layers=(6, 3), mixes_last=True).orders())


def test_few_tokens_meet_the_factors_and_many_a_materialised_weight():
    narrow = weight((768, 700), (768, 700))  # hardly any growth: the factors cost more than the weight
    assert cheapest(narrow, 16, {1: 1}).leave == {0, 1}
    assert cheapest(narrow, 100_000, {1: 1}).leave == frozenset()


def test_sharing_pulled_activations_makes_pulling_cheaper():
    described, way = weight(), ways(weight(), (0, 1))[2]
    assert way.leave == {1}
    alone, shared = (step_work(described, way, 512, {1: n}) for n in (1, 3))
    assert shared.time < alone.time


sizes = st.tuples(st.integers(1, 64), st.integers(1, 64)).map(lambda pair: (max(pair), min(pair)))


@given(sizes, sizes, st.tuples(st.integers(1, 6), st.integers(1, 6)), st.integers(1, 10_000), st.booleans())
def test_the_cheapest_way_costs_no_more_than_any(rows, columns, layers, tokens, learned):
    described = weight(rows, columns, layers, learned=learned)
    best = step_work(described, cheapest(described, tokens, {1: 1}), tokens, {}).time
    assert all(best <= step_work(described, way, tokens, {}).time for way in ways(described, (0, 1)))
    assert all(
        described.growing(cheapest_order(described)).time <= described.growing(order).time
        for order in described.orders()
    )
