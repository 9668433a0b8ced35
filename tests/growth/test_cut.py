"""Cutting sub-models: which entries, against numbers made by hand, and their average."""

import pytest
import torch

from fedgrow.architectures import Shape, families, read
from fedgrow.errors import ShapeError
from fedgrow.growth.cut import Cut, Piece, cut_shape, put_together
from fedgrow.growth.heads import Groups
from tests import tiny, zoo

SMALL = Shape(layers=1, width=4, heads=2, head_size=2, ffn=3)
LARGE = Shape(layers=2, width=12, heads=3, head_size=4, ffn=5)


def cut(name: str, small: Shape = SMALL, large: Shape = LARGE, offset: int = 0) -> Cut:
    return Cut(tiny.family(name), large, small, offset)


def entries(found: Cut, label: str) -> list[int]:
    index = found.index(label)
    assert index is not None
    return index.tolist()


def test_a_vit_is_cut_from_the_front_and_inside_every_head():
    found = cut("vit")
    assert entries(found, "stream.out") == entries(found, "norm.in") == [0, 1, 2, 3]
    assert entries(found, "ffn.out") == [0, 1, 2]
    for label in ("query.out", "key.out", "value.out", "value.in"):
        assert entries(found, label) == [0, 1, 4, 5]  # two entries of each of the first two heads of four
    assert found.index("position") is None
    weight = torch.arange(144.0).view(12, 12)
    taken = found.take({"vit.layers.0.attention.q_proj.weight": weight}, "image-classification")
    rows = [[12.0 * r + c for c in range(4)] for r in (0, 1, 4, 5)]
    assert taken["vit.layers.0.attention.q_proj.weight"].tolist() == rows


def test_layers_are_the_first_ones():
    names = {f"vit.layers.{i}.mlp.fc1.bias": torch.arange(5.0) for i in range(2)}
    taken = cut("vit").take(names, "image-classification")
    assert {n: t.tolist() for n, t in taken.items()} == {"vit.layers.0.mlp.fc1.bias": [0.0, 1.0, 2.0]}


def test_fused_projections_of_gpt2_are_cut_part_by_part_and_the_other_way_round():
    found = cut("gpt2")
    fused = entries(found, "query.out|key.out|value.out")
    assert fused == [0, 1, 4, 5, 12, 13, 16, 17, 24, 25, 28, 29]
    name = "transformer.h.0.attn.c_attn.weight"  # (in, out)
    weight = torch.arange(12.0 * 36).view(12, 36)
    taken = found.take({name: weight}, "causal-language-modelling")[name]
    assert taken.tolist() == [[36.0 * r + c for c in fused] for r in range(4)]


def test_parts_that_alternate_head_by_head_stay_together():
    small = Shape(layers=1, width=4, heads=2, head_size=2, ffn=3)
    large = Shape(layers=1, width=12, heads=3, head_size=4, ffn=5)
    found = Cut(families()["gpt_neox"], large, small)
    # whole heads turn, two to four: pair 0 is entries 0 and 2 of the large head
    assert entries(found, "query.out:key.out:value.out") == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]


def test_query_heads_stay_with_the_key_value_head_that_they_read():
    small = Shape(layers=1, width=8, heads=2, kv_heads=2, head_size=4, ffn=4)
    large = Shape(layers=1, width=24, heads=6, kv_heads=3, head_size=4, ffn=4)
    found = Cut(families()["llama"], large, small)
    assert entries(found, "key.out") == list(range(8))
    assert entries(found, "query.out") == [0, 1, 2, 3, 8, 9, 10, 11]  # heads 0 and 2: one of each group
    sources = Groups(2, 2, 6, 3).query_sources()
    assert sources[[0, 2]].tolist() == [0, 1]  # where growth puts them


def test_groups_that_are_larger_than_the_large_models_are_refused():
    small = Shape(layers=1, width=8, heads=4, kv_heads=1, head_size=2, ffn=4)
    large = Shape(layers=1, width=16, heads=4, kv_heads=2, head_size=4, ffn=4)
    with pytest.raises(ShapeError, match=r"4 heads read one key-value head .* only 2 .* kv_heads <= 1"):
        Cut(families()["llama"], large, small)


def test_a_larger_shape_is_refused_and_cut_to_the_large_one():
    wide = SMALL.model_copy(update={"ffn": 9, "layers": 5})
    with pytest.raises(ShapeError, match="ffn"):
        cut("vit", wide)
    family = tiny.family("vit")
    assert cut_shape(family, wide, LARGE) == SMALL.model_copy(update={"ffn": 5, "layers": 2})
    assert cut_shape(family, SMALL, LARGE) == SMALL
    odd = Shape(layers=1, width=8, heads=4, head_size=2, ffn=3)
    with pytest.raises(ShapeError, match="needs heads x head_size"):
        cut_shape(family, odd, LARGE)  # three heads of two make no width of eight


@pytest.mark.parametrize(("name", "head"), [n for n in zoo.NAMES if n[1]])
def test_every_family_gives_a_whole_model_and_all_of_it_is_the_identity(name, head):
    family = families()[name]
    grouped = {"kv_heads": 2} if "kv_heads" in family.config else {}
    large = zoo.model(
        family, head, zoo.small_shape(family, layers=3, heads=4, head_size=8, ffn=48, **grouped)
    )
    small = zoo.model(family, head, zoo.small_shape(family, **grouped))
    tensors = dict(large.state_dict())
    shapes = read(large).shape, read(small).shape
    large_shape = shapes[0].model_copy(update={"rotary": None})  # a part that turns keeps its size
    taken = Cut(family, large_shape, shapes[1]).take(tensors, head)
    assert {n: t.shape for n, t in taken.items()} == {n: t.shape for n, t in small.state_dict().items()}
    whole = Cut(family, shapes[0], shapes[0]).take(tensors, head)
    assert all(torch.equal(whole[n], t) for n, t in tensors.items())


def test_an_average_weighs_every_entry_by_those_who_hold_it():
    name, small = "vit.layernorm.weight", Shape(layers=1, width=4, heads=2, ffn=3)
    large = Shape(layers=1, width=6, heads=3, head_size=2, ffn=3)
    smaller = Shape(layers=1, width=2, heads=1, ffn=3)
    held = {name: torch.full((6,), 9.0), "vit.layers.0.mlp.fc1.bias": torch.ones(3)}
    pieces = [
        Piece(cut("vit", small, large), {name: torch.ones(4)}, 1),
        Piece(cut("vit", smaller, large), {name: torch.tensor([4.0, 7.0])}, 2),
    ]
    average = put_together(held, pieces, "image-classification")
    assert average[name].tolist() == [3.0, 5.0, 1.0, 1.0, 9.0, 9.0]
    assert average["vit.layers.0.mlp.fc1.bias"].tolist() == [1.0, 1.0, 1.0]
    assert held[name].tolist() == [9.0] * 6


def test_a_window_of_a_fused_matrix_goes_back_where_it_was():
    name, found = "transformer.h.0.attn.c_attn.weight", cut("gpt2", offset=10)
    held = {name: torch.zeros(12, 36)}
    back = put_together(held, [Piece(found, {name: torch.ones(4, 12)}, 3)], "causal-language-modelling")[name]
    places = [(int(r), int(c)) for r, c in back.nonzero()]
    assert {r for r, _ in places} == {10, 11, 0, 1}
    assert len(places) == 4 * 12
    assert torch.equal(found.take({name: back}, "causal-language-modelling")[name], torch.ones(4, 12))


@pytest.mark.parametrize("name", ["vit", "gpt2", "bert", "llama-classify"])
def test_the_average_of_equal_participants_is_themselves_bit_for_bit(name):
    large = tiny.model(name, Shape(layers=2, width=12, heads=3, ffn=8), dtype=torch.float32)
    reading = read(large)
    held = dict(large.state_dict())
    small = zoo.small_shape(reading.family, layers=1, heads=2, head_size=2, width=4, ffn=3)
    sub = read(tiny.model(name, small)).shape
    for offset in (0, 5):
        found = Cut(reading.family, reading.shape, sub, offset)
        mine = found.take(held, reading.head)
        after = put_together(held, [Piece(found, mine, n) for n in (3, 11, 7)], reading.head)
        assert all(torch.equal(after[n], t) for n, t in held.items())


def test_windows_wrap_and_reach_every_entry():
    found = cut("vit", offset=10)
    assert entries(found, "stream.out") == [10, 11, 0, 1]
    assert entries(found, "ffn.in") == [0, 1, 2]  # of five
    assert entries(found, "value.in") == [6, 7, 10, 11]  # heads 1 and 2, entries 2 and 3
    for label, size in (("stream.out", 12), ("ffn.out", 5), ("query.out", 12)):
        seen = {e for offset in range(12) for e in entries(cut("vit", offset=offset), label)}
        assert seen == set(range(size))


def test_heads_with_rotary_positions_move_whole():
    small = Shape(layers=1, width=8, heads=2, kv_heads=1, head_size=4, ffn=4)
    large = Shape(layers=1, width=48, heads=6, kv_heads=3, head_size=8, ffn=4)
    found = Cut(families()["llama"], large, small, 1)
    inside = [0, 2, 4, 6]  # pairs 0 and 2 of four turn as the small head's two do
    assert entries(found, "key.out") == [8 + e for e in inside]
    assert entries(found, "query.out") == [8 * h + e for h in (3, 2) for e in inside]
