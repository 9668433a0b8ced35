import jaxtyping
import pytest
import torch

from fedgrow.growth.maps import Blocks, Chain, LowRank, Map, Matrix, Selection, compose

SMALL, LARGE = 4, 6


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def selection(index, scale=None, size=SMALL):
    scale = torch.ones(len(index)) if scale is None else torch.tensor(scale)
    return Selection(torch.tensor(index), scale.double(), size)


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
