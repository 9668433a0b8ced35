"""Exact: the small model's function is kept wherever that is possible, and symmetry is broken where it is free."""

from fedgrow.growth.depth import Depth, silent_depth
from fedgrow.growth.initialisers import width
from fedgrow.growth.initialisers.base import Initialiser, Start
from fedgrow.growth.stage import Stage


class Exact(Initialiser):
    """New entries, units, heads and blocks compute anything, but nothing reads them yet."""

    name = "exact"
    source = "docs/exactness.md; after LEMON (ICLR 2024) and bert2BERT (ACL 2022)"

    def width(self, stage: Stage, axis: str, seed: int) -> Start:
        """Keep the function."""
        return width.exact(stage, axis)

    def depth(self, stage: Stage) -> dict[str, Depth]:
        """Let new blocks write nothing."""
        return silent_depth(stage)
