import pytest
import torch
from fedgrow.growth.start import depth_start, source_layers, start

from fedgrow.architectures import Shape, families, read
from fedgrow.architectures.table import BODY_AXES, HEAD_AXES
from fedgrow.growth import Applied, Stage
from tests import tiny
from tests.growth.growing import SMALL, difference, materialise, operator, stages

WIDER = Shape(layers=2, width=24, heads=3, ffn=20)
DEEPER = Shape(layers=5, width=8, heads=2, ffn=12)
EXACT = 1e-9


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


@pytest.mark.parametrize("family", ["bert", "vit", "gpt2"])
def test_some_rows_are_free_so_that_copies_can_part(family):
    free = {axis for axis in BODY_AXES if start(stage(family, WIDER), axis).free.any()}
    assert {"query.out", "value.out", "ffn.out"} <= free
    assert ("norm.in" in free) is (family != "bert")


@pytest.mark.parametrize("family", ["bert", "vit", "gpt2"])
@pytest.mark.parametrize("axis", BODY_AXES + HEAD_AXES)
def test_nothing_to_grow_is_the_identity(family, axis):
    begin = start(stage(family, SMALL), axis)
    assert begin.map.is_identity
    assert not begin.free.any()


@pytest.mark.parametrize("family", ["bert", "vit", "gpt2"])
@pytest.mark.parametrize("axis", ["value", "ffn", "pooled"])
def test_readers_invert_writers(family, axis):
    writes, reads = (start(stage(family, WIDER), f"{axis}.{r}").map.dense() for r in ("out", "in"))
    torch.testing.assert_close(reads.mT @ writes, torch.eye(writes.shape[1], dtype=torch.float64))


def test_queries_make_up_for_the_larger_head():
    small, large = Shape(layers=1, width=4, heads=1, ffn=4), Shape(layers=1, width=16, heads=1, ffn=4)
    queries, keys = (start(stage("gpt2", large, small), f"{a}.out").map.dense() for a in ("query", "key"))
    torch.testing.assert_close(queries.mT @ keys, 2 * torch.eye(4, dtype=torch.float64))


def test_heads_keep_their_place():
    kept = start(stage("gpt2", WIDER), "value.in").map
    assert kept.index[kept.scale > 0].tolist() == list(range(8))
    assert kept.scale.nonzero().flatten().tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("small", "large", "sources"),
    [(2, 2, [0, 1]), (2, 4, [0, 0, 1, 1]), (2, 5, [0, 0, 0, 1, 1]), (3, 4, [0, 0, 1, 2])],
)
def test_new_layers_follow_their_source(small, large, sources):
    assert source_layers(small, large) == sources


@pytest.mark.parametrize("family", ["bert", "vit", "gpt2"])
def test_new_blocks_write_nothing_into_the_stream(family):
    table = families()[family]
    for name, begin in depth_start(stage(family, DEEPER)).items():
        if "stream.out" in table.block.tensors[name]:
            assert begin.mix.sum(1).tolist() == [1, 0, 0, 1, 0]


def test_only_gains_have_a_constant():
    gains = {name for name, begin in depth_start(stage("bert", DEEPER)).items() if begin.constant is not None}
    assert gains == {"attention.output.LayerNorm.weight", "output.LayerNorm.weight"}


def test_post_norm_gains_move_to_the_end_of_their_run():
    begin = depth_start(stage("bert", DEEPER))
    closing, inner = begin["output.LayerNorm.weight"], begin["attention.output.LayerNorm.weight"]
    assert closing.mix.sum(1).tolist() == [0, 0, 1, 0, 1]
    assert closing.constant.tolist() == [1, 1, 0, 1, 0]
    assert inner.mix.sum(1).tolist() == [1, 0, 0, 1, 0]
    assert inner.constant.tolist() == [0, 1, 1, 0, 1]


def test_pre_norm_gains_are_copied():
    begin = depth_start(stage("gpt2", DEEPER))["ln_1.weight"]
    assert begin.mix.argmax(1).tolist() == [0, 0, 0, 1, 1]
    assert begin.mix.sum(1).tolist() == [1] * 5
    assert not begin.constant.any()
