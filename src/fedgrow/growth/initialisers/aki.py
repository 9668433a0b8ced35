"""AKI: bert2BERT's advanced knowledge initialisation: new units and heads come from the next layer."""

from dataclasses import replace

from fedgrow.growth.initialisers.base import Exactness, Start
from fedgrow.growth.initialisers.fpi import FPI
from fedgrow.growth.maps import NextLayer, Selection
from fedgrow.growth.stage import Stage

WRITERS = ("query.out", "key.out", "value.out", "ffn.out", "stream.out")


class AKI(FPI):
    """As FPI, but inside the blocks the new rows of every weight are taken from the layer above it."""

    name = "aki"
    source = "bert2BERT (Chen et al., ACL 2022)"
    as_matrix = False

    def width(self, stage: Stage, axis: str, seed: int) -> Start:
        """Take new rows from the next layer."""
        start = super().width(stage, axis, seed)
        if axis not in WRITERS or not isinstance(start.map, Selection):
            return start
        return replace(start, map=NextLayer(start.map, start.new))

    def declared(self, stage: Stage) -> Exactness:
        """What is copied from another layer computes something else."""
        return "not preserved"
