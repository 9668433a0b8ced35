"""Mapping what was not kept: with its products with the probes, a map gives what it gives without them."""

import pytest
import torch

from fedgrow.growth.maps import Blocks, Chain, LowRank, Matrix
from fedgrow.growth.maps.probing import apply_probed, probes
from tests.growth.mapping import LARGE, SMALL, random, selection

THIN = LowRank(selection([0, 1, 2, 3, 0, 2]), random(LARGE, 2), random(SMALL, 2, seed=1))
WIDER = LowRank(
    selection([5, 4, 3, 2, 1, 0, 0, 1], size=LARGE), random(8, 3, seed=2), random(LARGE, 3, seed=3)
)
PLAIN = Matrix(random(LARGE, SMALL, seed=4))
MAPS = {
    "low-rank": THIN,
    "one after another": Chain((THIN, WIDER)),
    "after a matrix": Chain((PLAIN, WIDER)),
    "side by side": Blocks((THIN, PLAIN, Chain((THIN, WIDER)))),
    "no probes": PLAIN,
}


@pytest.mark.parametrize("m", MAPS.values(), ids=MAPS)
def test_a_map_with_probes_is_the_map(m):
    z = random(5, m.small, seed=5)
    thin = [z @ probe for probe in probes(m)]
    torch.testing.assert_close(apply_probed(m, z.clone(), iter(thin)), m.apply(z, 1))


@pytest.mark.parametrize(("name", "count"), list(zip(MAPS, (1, 2, 1, 3, 0), strict=True)))
def test_every_thin_product_has_its_probe(name, count):
    assert len(probes(MAPS[name])) == count
