"""The exact start of single axes: what is free, what is identity, and who reads what."""

import pytest
import torch

from fedgrow.architectures import Shape, families, read
from fedgrow.architectures.axes import BODY_AXES, STRUCTURAL_AXES
from fedgrow.growth import Applied, Stage
from fedgrow.growth.exactness import DIRECTIONS
from fedgrow.growth.initialisers import INITIALISERS
from tests import tiny, zoo
from tests.growth.growing import SMALL, difference, materialise, operator, share_of_difference, stages

WIDER = Shape(layers=2, width=24, heads=3, ffn=20)
EXACT = 1e-9
ROTARY = 1e-6
EVERYTHING = next(d for d in DIRECTIONS if d.name == "all together")


def start(stage, axis):
    return INITIALISERS["exact"].width(stage, axis, 0)


def stage(family, target, small=SMALL):
    return Stage(families()[family], small, target)


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


@pytest.mark.parametrize("axis", BODY_AXES)
@pytest.mark.parametrize("name", tiny.WITH_HEAD)
def test_free_rows_may_hold_anything(name, axis):
    small = tiny.model(name, SMALL)
    (step,) = stages(read(small), [WIDER])
    tied = operator("tied", step)
    arrays = tied.initial(torch.float64)
    free = start(step, axis).free
    arrays[f"map/{axis}"][free] = noise(int(free.sum()), arrays[f"map/{axis}"].shape[1])
    assert difference(name, small, materialise(small, [Applied(tied, arrays)])) <= EXACT


@pytest.mark.parametrize("name", families())
def test_all_free_rows_may_hold_anything_at_once_in_every_family(name):
    family = families()[name]
    head = next(iter(family.heads))
    eps = {"layer_norm_eps": 1e-12} if family.norm == "post" and "norm_eps" in family.config else {}
    groups = {"kv_heads": 2} if "kv_heads" in family.config else {}
    small = zoo.model(family, head, zoo.small_shape(family, heads=4, **groups), **eps)
    zoo.exact_embedding_scale(small)
    (step,) = stages(read(small), [EVERYTHING.grow(family, read(small).shape, lambda low, high: high)])
    tied = operator("tied", step)
    arrays = tied.initial(torch.float64)
    for axis in tied.learned_axes:
        free = start(step, axis).free
        arrays[f"map/{axis}"][free] = noise(int(free.sum()), arrays[f"map/{axis}"].shape[1])
    gap = share_of_difference(small, materialise(small, [Applied(tied, arrays)]), family, head)
    assert gap <= (OF_ORDER_EPS if name == "opt-post" else ROTARY)


OF_ORDER_EPS = 1e-4  # OPT's epsilon is fixed in code


@pytest.mark.parametrize("family", ["bert", "vit", "gpt2"])
def test_some_rows_are_free_so_that_copies_can_part(family):
    free = {axis for axis in BODY_AXES if start(stage(family, WIDER), axis).free.any()}
    assert {"query.out", "value.out", "ffn.out"} <= free
    assert ("norm.in" in free) is (family != "bert")


@pytest.mark.parametrize("family", families())
@pytest.mark.parametrize("axis", BODY_AXES + STRUCTURAL_AXES)
def test_nothing_to_grow_is_the_identity(family, axis):
    same = zoo.small_shape(families()[family])
    begin = start(stage(family, same, same), axis)
    assert begin.map.is_identity
    assert not begin.free.any()
    assert not begin.new.any()


@pytest.mark.parametrize("family", ["bert", "vit", "gpt2"])
@pytest.mark.parametrize("axis", ["value", "ffn", "pooled"])
def test_readers_invert_writers(family, axis):
    writes, reads = (start(stage(family, WIDER), f"{axis}.{r}").map.dense() for r in ("out", "in"))
    torch.testing.assert_close(reads.mT @ writes, torch.eye(writes.shape[1], dtype=torch.float64))


def test_queries_make_up_for_the_larger_head():
    small, large = Shape(layers=1, width=4, heads=1, ffn=4), Shape(layers=1, width=16, heads=1, ffn=4)
    queries, keys = (start(stage("gpt2", large, small), f"{a}.out").map.dense() for a in ("query", "key"))
    torch.testing.assert_close(queries.mT @ keys, 2 * torch.eye(4, dtype=torch.float64))


def test_where_attention_is_not_scaled_queries_are_not_either():
    sizes = {"layers": 1, "width": 8, "heads": 1, "ffn": 4, "decoder_layers": 1}
    small, large = Shape(**sizes, head_size=4), Shape(**sizes, head_size=16)
    queries, keys = (start(stage("t5", large, small), f"{a}.out").map.dense() for a in ("query", "key"))
    torch.testing.assert_close(queries.mT @ keys, torch.eye(4, dtype=torch.float64))


def test_heads_keep_their_place():
    kept = start(stage("gpt2", WIDER), "value.in").map
    assert kept.index[kept.scale > 0].tolist() == list(range(8))
    assert kept.scale.nonzero().flatten().tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


def test_the_pairs_of_rotary_heads_are_spread():
    small, large = (Shape(layers=1, width=8, heads=1, head_size=d, ffn=4) for d in (4, 8))
    kept = start(stage("llama", large, small), "value.in").map
    assert kept.scale.nonzero().flatten().tolist() == [
        0,
        2,
        4,
        6,
    ]  # pairs (0, 2), (1, 3) go to (0, 4), (2, 6)
    assert kept.index[kept.scale > 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("family", "target", "extra"),
    [("vit", WIDER, [1 / 8] * 8), ("bert", Shape(layers=2, width=12, heads=3, ffn=12), [1 / 8] * 8)],
)
def test_new_entries_of_the_stream_are_the_mean_under_layer_norm(family, target, extra):
    rows = start(stage(family, target), "stream.out").map.dense()
    assert rows[8:].tolist() == [extra] * (target.width - 8)


def test_new_entries_of_the_stream_are_zero_under_rms_norm():
    small = Shape(layers=1, width=8, heads=2, ffn=12)
    rows = start(stage("llama", small.model_copy(update={"width": 12}), small), "stream.out").map.dense()
    assert not rows[8:].any()
