"""Zero-block depth: new blocks write nothing into the stream; width as under ``exact``, but with plain copies."""

from dataclasses import replace

import torch

from fedgrow.growth.initialisers.base import Start
from fedgrow.growth.initialisers.exact import Exact
from fedgrow.growth.stage import Stage


class ZeroBlock(Exact):
    """Exact, with no random rows: what is new is a copy of the old, or zero."""

    name = "zero-block"
    source = "Shen et al., ICML 2022 (staged training)"

    def width(self, stage: Stage, axis: str, seed: int) -> Start:
        """Keep the function, leaving free rows as copies."""
        start = super().width(stage, axis, seed)
        return replace(start, free=torch.zeros_like(start.free))
