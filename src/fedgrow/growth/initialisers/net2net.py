"""Net2Net: new units and heads are copies of old ones drawn at random, and readers divide by the number of copies."""

from dataclasses import replace

import torch

from fedgrow.growth.initialisers import width
from fedgrow.growth.initialisers.base import Start
from fedgrow.growth.initialisers.exact import Exact
from fedgrow.growth.stage import Stage


class Net2Net(Exact):
    """Net2WiderNet with Net2DeeperNet's identity blocks.

    The stream is copied in turn, not at random, for norms need every entry equally often.
    """

    name = "net2net"
    source = "Net2Net (Chen, Goodfellow and Shlens, ICLR 2016)"

    def stage(self, stage: Stage) -> Stage:
        """Duplicate the stream."""
        return replace(stage, duplicate=True)

    def width(self, stage: Stage, axis: str, seed: int) -> Start:
        """Copy, and let readers divide."""
        kind, role = axis.split(".")
        if kind in ("query", "key", "value", "query_norm", "key_norm", "head"):
            start = width.heads(stage, kind, role, width.equal_shares)
        elif kind in ("ffn", "pooled"):
            small, large = width.sizes(stage, kind)
            index = width.random_copies(small, large, seed) if kind == "ffn" else None
            start = width.copied_ffn(stage, kind, role, width.equal_shares, index)
        else:
            start = width.stream(stage, kind, role, width.equal_shares)
        return replace(start, free=torch.zeros_like(start.free))
