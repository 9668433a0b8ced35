import pytest
import torch
from fedgrow.growth.start import start

from fedgrow.architectures import Shape, families
from fedgrow.architectures.table import BODY_AXES
from fedgrow.errors import FedgrowError
from fedgrow.growth import OPERATORS, Stage
from fedgrow.growth.operators.base import PUBLISHED_TIES
from tests.growth.growing import KINDS, SMALL, operator

STAGE = Stage(families()["vit"], SMALL, Shape(layers=3, width=12, heads=3, ffn=20))
DENSE_KINDS = ("dense", "tied")


def numbers(arrays):
    return sum(array.numel() for array in arrays.values())


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_the_start_follows_from_the_seed(self, kind):
        first, second = (operator(kind, STAGE, seed=3).initial() for _ in range(2))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_another_seed_starts_elsewhere(self, kind):
        first, second = (operator(kind, STAGE, seed=seed).initial() for seed in (3, 4))
        assert any(not torch.equal(first[name], second[name]) for name in first)

    def test_the_start_leaves_global_randomness_alone(self, kind):
        before = torch.get_rng_state()
        operator(kind, STAGE).initial()
        assert torch.equal(torch.get_rng_state(), before)

    def test_arrays_have_the_type_asked_for(self, kind):
        for dtype in (torch.float32, torch.float64):
            assert {a.dtype for a in operator(kind, STAGE).initial(dtype).values()} == {dtype}

    def test_arrays_share_no_memory(self, kind):
        arrays = operator(kind, STAGE).initial()
        assert len({a.untyped_storage().data_ptr() for a in arrays.values()}) == len(arrays)

    def test_every_axis_has_a_map(self, kind):
        made = operator(kind, STAGE)
        assert set(made.maps(made.initial()).block) == set(BODY_AXES)

    def test_every_block_tensor_has_a_depth(self, kind):
        made = operator(kind, STAGE)
        assert set(made.depth(made.initial())) == set(STAGE.family.block.tensors)

    def test_every_array_has_a_learning_rate(self, kind):
        made = operator(kind, STAGE)
        assert all(0 < made.learning_rate(name) < 0.1 for name in made.initial())

    def test_an_unknown_start_is_refused(self, kind):
        with pytest.raises(
            FedgrowError, match=rf"operator {kind}: start 'zero' is unknown; choose from exact"
        ):
            OPERATORS[kind](STAGE, start="zero")


@pytest.mark.parametrize("kind", DENSE_KINDS)
class TestXavierStart:
    def test_readers_share_the_map_of_their_writers(self, kind):
        made = OPERATORS[kind](STAGE, start="xavier")
        maps = made.maps(made.initial())
        for reader, writer in PUBLISHED_TIES.items():
            assert maps.block[reader].weight is maps.block[writer].weight

    def test_no_array_is_sent_for_what_is_shared(self, kind):
        names = {name.partition("/")[2] for name in OPERATORS[kind](STAGE, start="xavier").initial()}
        assert not names & set(PUBLISHED_TIES)

    def test_it_differs_from_the_exact_start(self, kind):
        exact, xavier = (OPERATORS[kind](STAGE, start=s) for s in ("exact", "xavier"))
        name = "map/stream.out" if kind == "tied" else "block/stream.out"
        assert not torch.equal(exact.initial()[name], xavier.initial()[name])


@pytest.mark.parametrize("kind", DENSE_KINDS)
def test_dense_kinds_have_no_rank(kind):
    with pytest.raises(FedgrowError, match=rf"operator {kind} has no rank, but rank 4 was given"):
        OPERATORS[kind](STAGE, rank=4)


def test_low_rank_has_the_rank_asked_for():
    for rank, expected in ((None, 8), (2, 2)):
        assert OPERATORS["low-rank"](STAGE, rank=rank).initial()["map/ffn.out/U"].shape == (20, expected)


def test_low_rank_has_no_xavier_start():
    with pytest.raises(FedgrowError, match="operator low-rank: start 'xavier' is unknown; choose from exact"):
        OPERATORS["low-rank"](STAGE, rank=2, start="xavier")


def test_dense_has_maps_per_layer_and_tied_has_not():
    sizes = {}
    for kind in DENSE_KINDS:
        made = operator(kind, STAGE)
        sizes[kind] = made.maps(made.initial()).block["ffn.out"].weight.shape
    assert sizes == {"dense": (2, 20, 12), "tied": (20, 12)}


def test_every_step_from_dense_to_low_rank_sends_less():
    small, large = Shape(layers=2, width=64, heads=4, ffn=256), Shape(layers=3, width=96, heads=6, ffn=384)
    stage = Stage(families()["vit"], small, large)
    dense, tied, low_rank = (
        numbers(operator(kind, stage).initial()) for kind in ("dense", "tied", "low-rank")
    )
    assert dense > tied > 8 * low_rank


def test_dense_kinds_fill_free_rows_at_random():
    begin = start(STAGE, "ffn.out")
    matrix = operator("tied", STAGE).initial(torch.float64)["map/ffn.out"]
    copies = begin.map.dense()
    assert torch.equal(matrix[~begin.free], copies[~begin.free])
    assert (matrix[begin.free] != copies[begin.free]).all()
