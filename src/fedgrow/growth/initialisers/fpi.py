"""FPI: bert2BERT's function-preserving initialisation: copies in turn, and depth by stacking."""

from dataclasses import replace

import torch

from fedgrow.growth.depth import Depth, copied_depth, deepens, stacked_layers
from fedgrow.growth.initialisers import width
from fedgrow.growth.initialisers.base import Exactness, Start
from fedgrow.growth.initialisers.net2net import Net2Net
from fedgrow.growth.stage import Stage


class FPI(Net2Net):
    """Units, heads and stream are copied in turn, and readers divide by the number of copies."""

    name = "fpi"
    source = "bert2BERT (Chen et al., ACL 2022)"

    def stage(self, stage: Stage) -> Stage:
        """Duplicate the stream, and stack the entries of per-layer settings too."""
        return replace(super().stage(stage), stacked=True)

    def width(self, stage: Stage, axis: str, seed: int) -> Start:
        """Copy in turn."""
        kind, role = axis.split(".")
        if kind == "ffn":
            start = width.copied_ffn(stage, kind, role, width.equal_shares)
            return replace(start, free=torch.zeros_like(start.free))
        return super().width(stage, axis, seed)

    def depth(self, stage: Stage) -> dict[str, Depth]:
        """Stack copies."""
        return copied_depth(stage, stacked_layers)

    def declared(self, stage: Stage) -> Exactness:
        """Stacking changes the function."""
        return "not preserved" if deepens(stage) else super().declared(stage)
