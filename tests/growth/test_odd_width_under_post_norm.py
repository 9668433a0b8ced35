"""The one approximate cell: BERT at a width that is no multiple of the old one."""

import pytest
import torch
from fedgrow.growth.start import start

from fedgrow.architectures import Shape, read
from fedgrow.architectures.table import BODY_AXES
from fedgrow.growth import Applied, Operator
from fedgrow.growth.maps import Selection
from fedgrow.growth.operators import Maps
from tests import tiny
from tests.growth.growing import grown, materialise, relative_difference, stages

SMALL = Shape(layers=2, width=32, heads=4, ffn=48)
TARGETS = [
    pytest.param(Shape(layers=2, width=40, heads=5, ffn=48), id="more heads"),
    pytest.param(Shape(layers=2, width=44, heads=4, ffn=48), id="larger heads"),
    pytest.param(Shape(layers=2, width=48, heads=6, ffn=48), id="one and a half"),
]


class Duplication(Operator):
    """Plain duplication of the stream (Net2Net): copies are written, and readers divide by their number."""

    kind = "duplication"

    def width_start(self, generator):
        return {}

    def width_learning_rate(self):
        return 0.0

    def maps(self, arrays):
        small, large = self.stage.source.width, self.stage.target.width
        source = torch.arange(large) % small
        copies = torch.bincount(source)[source].double()
        writes = Selection(source, torch.ones_like(copies), small)
        reads = Selection(source, 1 / copies, small)
        maps = {axis: start(self.stage, axis).map for axis in BODY_AXES}
        maps |= {"stream.out": writes, "norm.gain": writes, "norm.shift": writes, "norm.in": reads}
        return Maps(block=maps, outer=maps)


def duplicated(small, target):
    (stage,) = stages(read(small), [target])
    operator = Duplication(stage)
    large = materialise(small, [Applied(operator, operator.initial(torch.float64))])
    for module in large.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = small.config.layer_norm_eps
    return large


@pytest.fixture
def small():
    return tiny.model("bert", SMALL, std=0.1, gain=1.0)


@pytest.mark.parametrize("target", TARGETS)
def test_mean_rows_are_not_exact(small, target):
    assert relative_difference("bert", small, grown(small, [target], ["tied"])) > 1e-4


@pytest.mark.parametrize("target", TARGETS)
def test_mean_rows_are_better_than_duplication(small, target):
    ours = relative_difference("bert", small, grown(small, [target], ["tied"]))
    assert ours < 0.5 * relative_difference("bert", small, duplicated(small, target))


def test_the_duplication_compared_with_is_exact_where_it_can_be(small):
    twice = Shape(layers=2, width=64, heads=8, ffn=48)
    assert relative_difference("bert", small, duplicated(small, twice)) < 1e-9
