"""What every kind of operator is: arrays that follow from the seed, maps, depth, step sizes, and the starts it takes."""

import pytest
import torch

from fedgrow.architectures import Shape, families
from fedgrow.architectures.axes import BODY_AXES, axis_size
from fedgrow.errors import FedgrowError
from fedgrow.growth import OPERATORS, Stage
from fedgrow.growth.depth import silent_depth
from fedgrow.growth.initialisers import INITIALISERS
from fedgrow.growth.maps import Selection, Topped
from fedgrow.growth.operators.base import PUBLISHED_TIES
from fedgrow.growth.operators.dense import Dense
from tests import zoo
from tests.growth.growing import KINDS, LEARNED, SMALL, operator

STAGE = Stage(families()["vit"], SMALL, Shape(layers=3, width=12, heads=3, ffn=20))
DENSE_KINDS = ("dense", "tied")


def stage_of(name):
    """Return a stage that grows all that the family has."""
    family = families()[name]
    small = zoo.small_shape(family)
    more = {"layers": 3, "width": 16, "heads": 4, "kv_heads": 4, "ffn": zoo.possible_ffn(family, 16, 20)}
    if small.decoder_layers:
        more["decoder_layers"] = 3
    return Stage(family, small, small.model_copy(update=more))


def numbers(arrays):
    return sum(array.numel() for array in arrays.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(families()))
def test_shapes_are_known_without_any_array(name, kind):
    stage = stage_of(name)
    for start in {"exact", "xavier"}.intersection(OPERATORS[kind].starts()):
        made = operator(kind, stage, start=start, residual=2)
        shapes = {array: tuple(tensor.shape) for array, tensor in made.initial().items()}
        assert operator(kind, stage, start=start, residual=2).shapes() == shapes


def test_shapes_of_the_largest_operator_are_known_at_once():
    most = 2**24
    large = Shape(layers=most, width=most, heads=1, head_size=most, ffn=most)
    assert Dense(Stage(families()["vit"], large, large)).shapes()["layers/ffn.in"] == (most, most, most)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    def test_the_start_follows_from_the_seed(self, kind):
        first, second = (operator(kind, STAGE, seed=3).initial() for _ in range(2))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_another_seed_starts_elsewhere(self, kind):
        first, second = (operator(kind, STAGE, seed=seed, residual=2).initial() for seed in (3, 4))
        assert any(not torch.equal(first[name], second[name]) for name in first)

    def test_the_start_leaves_global_randomness_alone(self, kind):
        before = torch.get_rng_state()
        operator(kind, STAGE).initial()
        assert torch.equal(torch.get_rng_state(), before)

    def test_arrays_have_the_type_asked_for(self, kind):
        for dtype in (torch.float32, torch.float64):
            arrays = operator(kind, STAGE, residual=2).initial(dtype)
            assert {a.dtype for a in arrays.values()} == {dtype}

    def test_arrays_share_no_memory(self, kind):
        arrays = operator(kind, STAGE, residual=2).initial()
        assert len({a.untyped_storage().data_ptr() for a in arrays.values()}) == len(arrays)

    def test_every_axis_has_a_map(self, kind):
        made = operator(kind, STAGE)
        assert set(made.maps(made.initial()).blocks["layers"]) == set(BODY_AXES)

    def test_every_block_tensor_has_a_depth_that_starts_silent(self, kind):
        made, expected = operator(kind, STAGE), silent_depth(STAGE)
        depth = made.depth(made.initial(torch.float64))
        assert depth.keys() == expected.keys()
        assert all(torch.equal(depth[name].mix, expected[name].mix) for name in expected)

    def test_every_array_has_a_learning_rate(self, kind):
        made = operator(kind, STAGE, residual=2)
        assert all(0 < made.learning_rate(name) < 0.1 for name in made.initial())

    def test_an_unknown_start_is_refused(self, kind):
        with pytest.raises(
            FedgrowError,
            match=rf"operator {kind}: start 'nowhere' is unknown or does not fit; choose from exact",
        ):
            OPERATORS[kind](STAGE, start="nowhere")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", families())
class TestEveryKindInEveryFamily:
    def test_stacks_and_axes(self, name, kind):
        made = operator(kind, stage_of(name))
        maps = made.maps(made.initial())
        assert maps.blocks.keys() == {block.depth for block in families()[name].blocks}
        assert {frozenset(of_stack) for of_stack in maps.blocks.values()} == {
            frozenset(families()[name].learned_axes)
        }

    def test_sizes_of_maps_are_those_of_the_shapes(self, name, kind):
        stage = stage_of(name)
        made = operator(kind, stage)
        for of_stack in made.maps(made.initial()).blocks.values():
            for axis, found in of_stack.items():
                sizes = axis_size(axis, stage.target), axis_size(axis, stage.source)
                assert (found.large, found.small) == sizes, axis


@pytest.mark.parametrize("kind", LEARNED)
@pytest.mark.parametrize("name", families())
def test_another_rate_for_every_part(name, kind):
    made = operator(kind, stage_of(name), residual=2)
    rates = {made.learning_rate(n) for n in made.initial() if n.startswith("depth.")}
    assert rates == {1e-3}
    width = made.stage.target.width
    assert made.learning_rate("residual/x/U") == pytest.approx(0.32 / (2 * width) ** 0.5)
    assert made.learning_rate("residual/x/V") == made.learning_rate("residual/x/b") == 0.2 / width


@pytest.mark.parametrize("kind", KINDS)
def test_a_given_rate_is_of_the_maps_and_the_others_keep_their_proportion(kind):
    made = operator(kind, STAGE, residual=2)
    given = 3 * made.width_learning_rate()
    for name in made.initial():
        assert made.learning_rate(name, given) == pytest.approx(3 * made.learning_rate(name)), name


@pytest.mark.parametrize("kind", DENSE_KINDS)
class TestXavierStart:
    def test_readers_share_the_map_of_their_writers(self, kind):
        made = OPERATORS[kind](STAGE, start="xavier")
        maps = made.maps(made.initial())
        for reader, writer in PUBLISHED_TIES.items():
            assert maps.blocks["layers"][reader].weight is maps.blocks["layers"][writer].weight

    def test_no_array_is_sent_for_what_is_shared(self, kind):
        names = {name.partition("/")[2] for name in OPERATORS[kind](STAGE, start="xavier").initial()}
        assert not names & set(PUBLISHED_TIES)

    def test_it_differs_from_the_exact_start(self, kind):
        exact, xavier = (OPERATORS[kind](STAGE, start=s) for s in ("exact", "xavier"))
        name = "map/stream.out" if kind == "tied" else "layers/stream.out"
        assert not torch.equal(exact.initial()[name], xavier.initial()[name])


@pytest.mark.parametrize("kind", [*DENSE_KINDS, "partial", "fixed"])
def test_only_low_rank_has_a_rank(kind):
    with pytest.raises(FedgrowError, match=rf"operator {kind} has no rank, but rank 4 was given"):
        OPERATORS[kind](STAGE, rank=4)


def test_low_rank_has_the_rank_asked_for():
    for rank, expected in ((None, 8), (2, 2)):
        assert OPERATORS["low-rank"](STAGE, rank=rank).initial()["map/ffn.out/U"].shape == (20, expected)


STARTS = {
    "dense": set(INITIALISERS) - {"aki"},
    "tied": set(INITIALISERS) - {"aki"},
    "partial": set(INITIALISERS) - {"aki", "xavier"},
    "low-rank": set(INITIALISERS) - {"xavier"},
    "fixed": set(INITIALISERS) - {"xavier"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_which_starts_a_kind_takes(kind):
    taken = {start for start in INITIALISERS if start in OPERATORS[kind].starts()}
    assert taken == STARTS[kind]
    for start in set(INITIALISERS) - taken:
        with pytest.raises(
            FedgrowError, match=rf"operator {kind}: start '{start}' is unknown or does not fit"
        ):
            operator(kind, STAGE, start=start)


def test_dense_has_maps_per_layer_and_tied_has_not():
    sizes = {}
    for kind in DENSE_KINDS:
        made = operator(kind, STAGE)
        sizes[kind] = made.maps(made.initial()).blocks["layers"]["ffn.out"].weight.shape
    assert sizes == {"dense": (2, 20, 12), "tied": (20, 12)}


def test_every_step_from_dense_to_low_rank_sends_less():
    small, large = Shape(layers=2, width=64, heads=4, ffn=256), Shape(layers=3, width=96, heads=6, ffn=384)
    stage = Stage(families()["vit"], small, large)
    dense, tied, partial, low_rank, fixed = (
        numbers(operator(kind, stage).initial()) for kind in ("dense", "tied", "partial", "low-rank", "fixed")
    )
    assert dense > tied > 8 * low_rank
    assert tied > 2 * partial > 4 * low_rank
    assert fixed == 0


def test_dense_kinds_fill_free_rows_at_random():
    begin = INITIALISERS["exact"].width(STAGE, "ffn.out", 0)
    matrix = operator("tied", STAGE).initial(torch.float64)["map/ffn.out"]
    copies = begin.map.dense()
    assert torch.equal(matrix[~begin.free], copies[~begin.free])
    assert (matrix[begin.free] != copies[begin.free]).all()


def test_dense_has_maps_of_its_own_for_every_stack():
    stage = stage_of("t5")
    arrays = operator("dense", stage).initial()
    assert arrays["layers/ffn.out"].shape == (2, 20, 12)
    assert arrays["decoder_layers/ffn.out"].shape == (2, 20, 12)
    assert arrays["outer/stream.out"].shape == (16, 8)


class TestPartial:
    def test_only_rows_of_new_entries_are_learned(self):
        arrays = operator("partial", STAGE).initial()
        assert arrays["map/ffn.out"].shape == (20 - 12, 12)
        assert arrays["map/stream.out"].shape == (12 - 8, 8)

    def test_old_entries_stay_where_the_initialiser_puts_them(self):
        made = operator("partial", STAGE)
        arrays = {n: torch.full_like(a, 7.0) for n, a in made.initial(torch.float64).items()}
        for axis, found in made.maps(arrays).blocks["layers"].items():
            begin = made.begin(axis)
            assert torch.equal(found.dense()[~begin.new], begin.map.dense()[~begin.new])
            assert (found.dense()[begin.new] == 7.0).all()

    def test_an_axis_that_does_not_grow_has_no_array(self):
        stage = Stage(families()["vit"], SMALL, SMALL.model_copy(update={"ffn": 20}))
        made = operator("partial", stage)
        assert {n for n in made.initial() if n.startswith("map/")} == {"map/ffn.out", "map/ffn.in"}
        assert isinstance(made.maps(made.initial()).outer["stream.out"], Selection)
        assert isinstance(made.maps(made.initial()).blocks["layers"]["ffn.out"], Topped)


class TestFixed:
    def test_it_learns_and_sends_nothing(self):
        assert operator("fixed", STAGE).initial() == {}

    def test_its_maps_and_depth_are_the_initialisers(self):
        for start in OPERATORS["fixed"].starts():
            made = operator("fixed", STAGE, start=start)
            maps = made.maps({})
            for axis, found in maps.blocks["layers"].items():
                x = torch.randn(2, found.small, generator=torch.Generator().manual_seed(0))
                assert torch.equal(found.apply(x, 1), made.begin(axis).map.apply(x, 1))
            expected = made.initialiser.depth(made.stage)
            assert all(torch.equal(d.mix, expected[n].mix) for n, d in made.depth({}).items())


@pytest.mark.parametrize("heads", [{"heads": 8, "kv_heads": 4}, {"heads": 4, "kv_heads": 4}])
def test_shapes_are_known_where_heads_begin_to_share_less(heads):
    """A key-value head that several heads shared is copied: fewer of the large ones are new."""
    small = Shape(layers=2, width=16, heads=4, kv_heads=1, head_size=4, ffn=32, rotary=4)
    large = small.model_copy(update=heads | {"width": 4 * heads["heads"], "layers": 3})
    for kind in KINDS:
        made = operator(kind, Stage(families()["llama"], small, large))
        assert made.shapes() == {name: tuple(array.shape) for name, array in made.initial().items()}
