"""Every initialiser: what it declares is what the forward pass shows, and what it copies comes from where it says."""

import pytest
import torch

from fedgrow.architectures import Shape, families, read, shape_of
from fedgrow.errors import ShapeError
from fedgrow.growth import OPERATORS, Stage, grow, stack
from fedgrow.growth.exactness import DIRECTIONS
from fedgrow.growth.initialisers import INITIALISERS
from tests import tiny, zoo
from tests.growth.growing import SMALL, grown, materialise, noisy, share_of_difference, stages, started
from tests.parity.test_every_family import drawing, small_eps, tolerance

BY_NAME = {direction.name: direction for direction in DIRECTIONS}
WALKED = ("width, integer multiple", "width, other ratio", "layers", "all together")
FAMILIES = ("bert", "vit", "llama", "qwen3", "gemma", "opt", "t5", "gpt_neox")  # of every kind one
WIDER = Shape(layers=2, width=16, heads=4, ffn=20)
DEEPER = SMALL.model_copy(update={"layers": 5})


def kind_for(start):
    """Return the plainest kind of operator that can start so."""
    return "fixed" if start in OPERATORS["fixed"].starts() else "tied"


def made(name, draw, start="exact"):
    """Return a small model, its heads in groups if the family has them and the initialiser can grow them."""
    family = families()[name]
    grouped = "kv_heads" in family.config and not INITIALISERS[start].ties_readers
    groups = {"kv_heads": draw(1, 2)} if grouped else {}
    small = zoo.model(
        family, next(iter(family.heads)), zoo.small_shape(family, **groups), **small_eps(family)
    )
    zoo.exact_embedding_scale(small)
    return small


def declared(start, stage):
    initialiser = INITIALISERS[start]
    return initialiser.declared(initialiser.stage(stage))


@pytest.mark.parametrize("start", INITIALISERS)
@pytest.mark.parametrize("direction", WALKED)
@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_declared_is_what_the_forward_pass_shows(name, direction, start):
    family, draw = families()[name], drawing(name, direction)
    small = made(name, draw, start)
    target = BY_NAME[direction].grow(family, read(small).shape, draw)
    large = grown(small, [target], [kind_for(start)], start=start)
    gap = share_of_difference(small, large, family, next(iter(family.heads)))
    told = declared(start, Stage(family, read(small).shape, target))
    if told.startswith("exact"):
        assert gap <= tolerance(family, told)
    else:
        assert gap > tolerance(family, "exact up to the norms' epsilon")


EXACT = {"exact", "zero-block", "lemon"}
COPYING = {"net2net", "fpi"}
DEPTH_ONLY = {"stack", "interpolate"}


@pytest.mark.parametrize("start", INITIALISERS)
@pytest.mark.parametrize(
    ("direction", "exact"),
    [
        ("FFN width", EXACT | COPYING | DEPTH_ONLY),
        ("width, integer multiple", EXACT | COPYING | DEPTH_ONLY),
        ("width, other ratio", EXACT | DEPTH_ONLY),
        ("layers", EXACT | {"net2net"}),
    ],
)
def test_which_of_them_declare_what_exact_under_pre_norm(direction, exact, start):
    family = families()["vit"]
    stage = Stage(family, SMALL, BY_NAME[direction].grow(family, SMALL, lambda low, high: high))
    assert declared(start, stage).startswith("exact") is (start in exact)


@pytest.mark.parametrize("start", sorted(COPYING))
@pytest.mark.parametrize("name", ["bert", "vit", "gpt2", "opt", "dinov2"])
def test_copies_are_exact_at_a_whole_ratio_without_depth(name, start):
    family, small = families()[name], made(name, drawing(name))
    old = read(small).shape
    target = old.model_copy(update={"width": 24, "heads": 6, "kv_heads": 6, "ffn": 24})
    large = grown(small, [target], ["fixed"], start=start)
    assert declared(start, Stage(family, old, target)) == "exact"
    assert share_of_difference(small, large, family, next(iter(family.heads))) <= 1e-9


def test_every_initialiser_has_a_name_and_a_source():
    assert all(initialiser.name == name for name, initialiser in INITIALISERS.items())
    assert all(initialiser.source for initialiser in INITIALISERS.values())


# where things come from


def tensors(start, target, name="vit"):
    """Return a small model's tensors and those that it grows to."""
    small = tiny.model(name, SMALL)
    reading = read(small)
    (stage,) = stages(reading, [target])
    applied = started(stage, "fixed", start=start)
    return small.state_dict(), grow(reading, stack(reading, small.state_dict()), [applied])


def layer(i, name):
    return f"vit.layers.{i}.{name}"


@pytest.mark.parametrize(
    ("start", "order"),
    [("stack", [0, 1, 0, 1, 0]), ("interpolate", [0, 0, 0, 1, 1]), ("fpi", [0, 1, 0, 1, 0])],
)
def test_layers_are_copies_of_the_ones_it_says(start, order):
    old, new = tensors(start, DEEPER)
    names = [n.removeprefix("vit.layers.0.") for n in old if n.startswith("vit.layers.0.")]
    assert len(names) == 16
    for i, source in enumerate(order):
        assert all(torch.equal(new[layer(i, n)], old[layer(source, n)]) for n in names)


@pytest.mark.parametrize("start", ["exact", "zero-block", "lemon", "net2net"])
def test_new_layers_write_nothing(start):
    _, new = tensors(start, DEEPER)
    silent = [i for i in range(5) if not new[layer(i, "mlp.fc2.weight")].any()]
    assert silent == [1, 2, 4]


WIDER_FFN = SMALL.model_copy(update={"ffn": 20})


def test_aki_takes_new_units_from_the_next_layer_and_the_last_layer_from_itself():
    old, new = tensors("aki", WIDER_FFN)
    for i, above in ((0, 1), (1, 1)):
        for part in ("weight", "bias"):
            grown_, own, next_ = (
                new[layer(i, f"mlp.fc1.{part}")],
                old[layer(i, f"mlp.fc1.{part}")],
                old[layer(above, f"mlp.fc1.{part}")],
            )
            assert torch.equal(grown_[:12], own)
            assert torch.equal(grown_[12:], next_[:8])


def test_aki_takes_new_heads_from_the_next_layer():
    old, new = tensors("aki", SMALL.model_copy(update={"width": 16, "heads": 4, "kv_heads": 4}))
    name = "attention.v_proj.bias"
    assert torch.equal(new[layer(0, name)], torch.cat([old[layer(0, name)], old[layer(1, name)]]))
    assert torch.equal(new[layer(1, name)], torch.cat([old[layer(1, name)], old[layer(1, name)]]))


def test_aki_copies_in_turn_outside_the_blocks():
    old, new = tensors("aki", SMALL.model_copy(update={"width": 16, "heads": 4, "kv_heads": 4}))
    table = "vit.embeddings.position_embeddings"
    assert torch.equal(new[table], torch.cat([old[table], old[table]], -1))


def test_fpi_copies_units_in_turn_and_readers_divide():
    old, new = tensors("fpi", WIDER_FFN)
    assert torch.equal(new[layer(0, "mlp.fc1.bias")], old[layer(0, "mlp.fc1.bias")][torch.arange(20) % 12])
    shares = torch.where(torch.arange(20) % 12 < 8, 0.5, 1.0).double()
    reads = old[layer(0, "mlp.fc2.weight")][:, torch.arange(20) % 12] * shares
    assert torch.equal(new[layer(0, "mlp.fc2.weight")], reads)


def test_net2net_draws_units_and_readers_divide_by_the_number_of_copies():
    old, new = tensors("net2net", WIDER_FFN)
    written, read_ = new[layer(0, "mlp.fc1.weight")], new[layer(0, "mlp.fc2.weight")]
    rows = old[layer(0, "mlp.fc1.weight")]
    source = [next(j for j in range(12) if torch.equal(row, rows[j])) for row in written]
    assert source[:12] == list(range(12))
    assert source[12:] != list(range(8))
    for place, j in enumerate(source):
        expected = old[layer(0, "mlp.fc2.weight")][:, j] / source.count(j)
        torch.testing.assert_close(read_[:, place], expected)


def test_net2net_draws_the_same_units_at_every_site_with_one_seed():
    stage = Stage(families()["vit"], SMALL, WIDER_FFN)
    one, two, other = (INITIALISERS["net2net"].width(stage, "ffn.out", seed).map.index for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_lemon_lets_copies_share_unevenly():
    old, new = tensors("lemon", SMALL.model_copy(update={"ffn": 24}))
    assert torch.equal(new[layer(0, "mlp.fc1.bias")], old[layer(0, "mlp.fc1.bias")].repeat(2))
    first, second = new[layer(0, "mlp.fc2.weight")].split(12, 1)
    torch.testing.assert_close(first + second, old[layer(0, "mlp.fc2.weight")])
    ratio = (first / second)[0]
    assert (ratio - 1).abs().min() > 1e-3
    assert len(set(ratio.tolist())) == 12


@pytest.mark.parametrize("start", ["zero-block", "net2net", "fpi", "aki"])
def test_nothing_is_left_to_chance_in_plain_copies(start):
    stage = INITIALISERS[start].stage(Stage(families()["vit"], SMALL, WIDER))
    assert not any(
        INITIALISERS[start].width(stage, axis, 0).free.any() for axis in families()["vit"].learned_axes
    )


def test_xavier_draws_every_axis_by_itself_and_the_same_at_every_site():
    stage = Stage(families()["vit"], SMALL, WIDER)
    first, again = (INITIALISERS["xavier"].width(stage, "query.out", 3).map.weight for _ in range(2))
    key, other = (
        INITIALISERS["xavier"].width(stage, a, s).map.weight for a, s in (("key.out", 3), ("query.out", 4))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, key)
    assert not torch.equal(first, other)
    assert first.abs().max() <= (6 / (16 + 8)) ** 0.5


def test_xavier_shares_maps_and_so_refuses_groups_of_heads():
    family = families()["llama"]
    grouped = zoo.small_shape(family, heads=4, kv_heads=2)
    with pytest.raises(ShapeError, match="there are 4 heads but 2 key-value heads"):
        OPERATORS["tied"](Stage(family, grouped, grouped), start="xavier")


@pytest.mark.parametrize("start", ["net2net", "fpi", "aki"])
@pytest.mark.parametrize("name", families())
def test_some_always_duplicate_the_stream(name, start):
    family = families()[name]
    small = zoo.small_shape(family)
    target = BY_NAME["width, other ratio"].grow(family, small, lambda low, high: high)
    stage = INITIALISERS[start].stage(Stage(family, small, target))
    assert stage.duplicates
    assert stage.eps_factor == 1.0


# as the start of operators, on both sides


def by_kind(kinds):
    return [(kind, start) for kind in kinds for start in OPERATORS[kind].starts()]


@pytest.mark.parametrize(("kind", "start"), by_kind(("low-rank", "fixed", "tied")))
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_every_start_serves_locally_and_globally(name, kind, start):
    family = families()[name]
    small = made(name, drawing(name), start)
    everything = BY_NAME["all together"]
    middle = everything.grow(family, read(small).shape, lambda low, high: low)
    large = everything.grow(family, middle, lambda low, high: low)
    steps = [
        noisy(started(stage, kind, start=start, seed=i))
        for i, stage in enumerate(stages(read(small), [middle, large]))
    ]
    together = materialise(small, steps)
    apart = materialise(materialise(small, steps[:1]), steps[1:])
    assert read(together).shape == Stage(family, middle, large).target
    for full, tensor in together.state_dict().items():
        torch.testing.assert_close(tensor, apart.state_dict()[full], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("start", "types"),
    [("stack", "fsfs"), ("fpi", "fsfs"), ("interpolate", "ffss"), ("exact", "ffss")],
)
def test_settings_with_an_entry_per_layer_follow_their_layers(start, types):
    kinds = {"f": "full_attention", "s": "sliding_attention"}
    family = families()["qwen2"]
    shape = zoo.small_shape(family, layers=2)
    layer_types = [kinds["f"], kinds["s"]]
    config = zoo.config(family, shape, layer_types=layer_types, sliding_window=4, use_sliding_window=True)
    stage = Stage(family, shape_of(family, config), shape_of(family, config).model_copy(update={"layers": 4}))
    grown = OPERATORS["fixed"](stage, start=start).stage.config(config)
    assert grown.layer_types == [kinds[t] for t in types]
