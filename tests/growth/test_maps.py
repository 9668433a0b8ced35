import jaxtyping
import pytest
import torch

from fedgrow.growth.maps import (
    Blocks,
    Chain,
    Interleaved,
    LowRank,
    Map,
    Matrix,
    NextLayer,
    Selection,
    Topped,
    compose,
    layered,
)
from tests.growth.mapping import LARGE, SMALL, random, selection

MATRIX = Matrix(random(LARGE, SMALL))
PICK = selection([0, 1, 2, 3, 0, 2], [1.0, 2.0, 1.0, 0.5, 0.0, -1.0])
MEAN = selection([0, 1, 2, 3, SMALL, SMALL], [1.0, 1.0, 1.0, 1.0, 1.0, 3.0])
IDENTITY = selection([0, 1, 2, 3])
THIN = LowRank(MEAN, random(LARGE, 2, seed=1), random(SMALL, 2, seed=2))
WIDER = Matrix(random(8, LARGE, seed=3))

MAPS = {
    "matrix": MATRIX,
    "selection": PICK,
    "selection with means": MEAN,
    "identity": IDENTITY,
    "low-rank": THIN,
    "chain": Chain((PICK, WIDER)),
    "chain of low-ranks": Chain((THIN, LowRank(selection([0, 1, 5, 6], size=6), random(4, 1), random(6, 1)))),
    "topped": Topped(PICK, random(2, SMALL, seed=5), torch.tensor([False] * 4 + [True] * 2)),
    "topped between": Topped(
        PICK, random(2, SMALL, seed=5), torch.tensor([False, True, False, True, False, False])
    ),
    "topped with nothing new": Topped(PICK, random(0, SMALL), torch.zeros(LARGE, dtype=torch.bool)),
    "interleaved": Interleaved((selection([0, 1, 1], size=2), Matrix(random(3, 2))), 2, 3),
    "blocks": Blocks((selection([0, 1, 1], size=2), Matrix(random(3, 2)))),
}
every_map = pytest.mark.parametrize("map_", MAPS.values(), ids=MAPS)


def by_einsum(matrix, x, dim):
    moved = torch.einsum("ls,s...->l...", matrix, x.movedim(dim, 0))
    return moved.movedim(0, dim)


@every_map
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_apply_agrees_with_dense_in_every_dimension(map_, rank):
    for dim in range(-rank, rank):
        shape = [2, 3, 5, 7][:rank]
        shape[dim] = SMALL
        x = random(*shape)
        torch.testing.assert_close(map_.apply(x, dim), by_einsum(map_.dense(), x, dim))


@every_map
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_pull_is_the_transpose_in_every_dimension(map_, rank):
    for dim in range(-rank, rank):
        shape = [2, 3, 5, 7][:rank]
        shape[dim] = map_.large
        x = random(*shape)
        torch.testing.assert_close(map_.pull(x, dim), by_einsum(map_.dense().mT, x, dim))


def test_topped_rows_are_the_bases_where_old_and_the_learned_where_new():
    new = torch.tensor([False, True, False, True, False, False])
    rows = random(2, SMALL, seed=5)
    dense = Topped(PICK, rows, new).dense()
    assert torch.equal(dense[new], rows)
    assert torch.equal(dense[~new], PICK.dense()[~new])


def test_only_the_new_rows_of_a_topped_map_get_gradients():
    rows = random(2, SMALL, seed=5).requires_grad_()
    new = torch.tensor([False, True, False, True, False, False])
    x = random(3, SMALL)
    Topped(PICK, rows, new).apply(x, 1).sum().backward()
    torch.testing.assert_close(rows.grad, x.sum(0).expand(2, -1))


def test_interleaved_parts_alternate_head_by_head():
    # two heads of one entry each of q, k and v become three: q copies head 0, k stays and adds zero, v is doubled
    q, k, v = (
        selection([0, 1, 0], size=2),
        selection([0, 1, 0], [1.0, 1.0, 0.0], size=2),
        selection([0, 1, 1], [2.0] * 3, size=2),
    )
    x = torch.tensor([10.0, 20.0, 30.0, 11.0, 21.0, 31.0], dtype=torch.float64)
    grown = Interleaved((q, k, v), 2, 3).apply(x, 0)
    assert grown.tolist() == [10, 20, 60, 11, 21, 62, 10, 0, 62]


class TestNextLayer:
    MAP = NextLayer(selection([0, 1, 2, 3, 0, 2]), torch.tensor([False] * 4 + [True] * 2))

    @pytest.mark.parametrize("shape", [(3, SMALL), (3, SMALL, 5), (3, 5, SMALL), (3, 5, SMALL, 2)], ids=str)
    def test_new_rows_come_from_the_layer_above_and_the_last_layers_from_itself(self, shape):
        x, dim = random(*shape), shape.index(SMALL)
        expected = []
        for layer, above in ((0, 1), (1, 2), (2, 2)):
            own, next_ = (x[i].movedim(dim - 1, 0) for i in (layer, above))
            expected.append(torch.cat([own, next_[[0, 2]]]).movedim(0, dim - 1))
        assert torch.equal(self.MAP.apply(x, dim), torch.stack(expected))

    def test_it_is_no_matrix(self):
        with pytest.raises(TypeError, match="takes rows from the next layer is no matrix"):
            self.MAP.dense()

    def test_it_and_what_holds_it_treat_layers_differently(self):
        thin = LowRank(self.MAP, random(LARGE, 1), random(SMALL, 1))
        maps = [
            self.MAP,
            thin,
            Blocks((PICK, thin)),
            Interleaved((PICK, self.MAP), 2, 3),
            Matrix(random(3, 6, 4)),
        ]
        assert all(layered(map_) for map_ in maps)
        assert not any(layered(map_) for map_ in MAPS.values())


@every_map
def test_sizes(map_):
    assert map_.dense().shape == (map_.large, map_.small)
    assert isinstance(map_, Map)


@pytest.mark.parametrize("shape", [(3, SMALL), (3, SMALL, 5), (3, 5, SMALL), (3, 5, SMALL, 2)], ids=str)
def test_a_matrix_per_layer_maps_every_layer_by_its_own(shape):
    matrix = Matrix(random(3, LARGE, SMALL))
    x = random(*shape)
    dim = shape.index(SMALL)
    expected = [by_einsum(matrix.weight[layer], x[layer], dim - 1) for layer in range(3)]
    torch.testing.assert_close(matrix.apply(x, dim), torch.stack(expected))


def test_blocks_of_matrices_per_layer():
    parts = Matrix(random(3, 5, 2)), Matrix(random(3, 4, 2, seed=1))
    x = random(3, 7, SMALL)
    expected = torch.cat([part.apply(piece, 2) for part, piece in zip(parts, x.split(2, 2), strict=True)], 2)
    torch.testing.assert_close(Blocks(parts).apply(x, 2), expected)


def test_an_index_past_the_end_is_the_mean():
    x = torch.tensor([1.0, 2.0, 3.0, 6.0])
    assert MEAN.apply(x, 0).tolist() == [1, 2, 3, 6, 3, 9]


def test_a_selection_keeps_the_type_of_what_it_maps():
    assert PICK.apply(torch.ones(SMALL, dtype=torch.float32), 0).dtype == torch.float32


@pytest.mark.parametrize(
    ("map_", "identity"),
    [
        (IDENTITY, True),
        (selection([0, 1, 2, 3], [1.0, 1.0, 1.0, 2.0]), False),
        (selection([0, 2, 1, 3]), False),
        (selection([0, 1, 2]), False),
        (PICK, False),
    ],
    ids=["identity", "scaled", "permuted", "shorter", "longer"],
)
def test_only_the_identity_counts_as_one(map_, identity):
    assert map_.is_identity is identity


COMPOSED = {
    "one map": [MATRIX],
    "only identities": [IDENTITY, IDENTITY],
    "identity and matrix": [IDENTITY, MATRIX],
    "matrix and matrix": [MATRIX, WIDER],
    "selection and matrix": [PICK, WIDER],
    "low-rank and matrix": [THIN, WIDER],
    "selection and selection": [PICK, selection([0, 1, 5, 6], size=6)],
}


@pytest.mark.parametrize("links", COMPOSED.values(), ids=COMPOSED)
def test_compose_is_the_product(links):
    product = torch.eye(SMALL, dtype=torch.float64)
    for link in links:
        product = link.dense() @ product
    torch.testing.assert_close(compose(links).dense(), product)
    torch.testing.assert_close(compose(links).apply(random(3, SMALL), 1), random(3, SMALL) @ product.mT)


@pytest.mark.parametrize("vectors", [1, 1000])
def test_compose_is_the_product_however_it_is_reckoned(vectors):
    composed = compose([THIN, WIDER], vectors)
    torch.testing.assert_close(composed.dense(), WIDER.dense() @ THIN.dense())


def test_compose_multiplies_out_what_is_applied_often():
    assert isinstance(compose([MATRIX, WIDER], 1000), Matrix)


def test_compose_applies_in_turn_what_is_applied_once():
    assert isinstance(compose([MATRIX, WIDER], 1), Chain)


def test_compose_keeps_structured_maps_structured():
    assert isinstance(compose([PICK, selection([0, 1, 5, 6], size=6)]), Chain)


def test_compose_drops_identities():
    assert compose([IDENTITY, THIN]) is THIN
    assert compose([IDENTITY, IDENTITY]) is IDENTITY


def test_composed_maps_carry_gradients():
    first, second = (Matrix(m.weight.clone().requires_grad_()) for m in (MATRIX, WIDER))
    compose([first, second]).apply(random(3, SMALL), 1).sum().backward()
    assert first.weight.grad is not None
    assert second.weight.grad is not None


def test_shapes_in_annotations_are_checked():
    with pytest.raises(jaxtyping.TypeCheckError):
        Selection(torch.tensor([0, 1]), torch.ones(3), 2)


def test_maps_one_after_another_cost_what_each_costs():
    first, second = Matrix(torch.ones(4, 2)), Matrix(torch.ones(6, 4))
    chain = Chain((first, second))
    assert (chain.small, chain.large, chain.cost) == (2, 6, 4 * 2 + 6 * 4)
    assert Blocks((first, second)).cost == chain.cost
