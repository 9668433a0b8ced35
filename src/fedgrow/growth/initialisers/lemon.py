"""LEMON: lossless expansion: copies whose readers share unevenly, mean entries for norms, silent new blocks."""

from fedgrow.growth.initialisers import width
from fedgrow.growth.initialisers.base import Start
from fedgrow.growth.initialisers.exact import Exact
from fedgrow.growth.stage import Stage


class Lemon(Exact):
    """Exact where ``exact`` is; new units and heads are copies, and uneven shares let them part in training."""

    name = "lemon"
    source = "LEMON (Wang et al., ICLR 2024)"

    def width(self, stage: Stage, axis: str, seed: int) -> Start:
        """Copy, and let readers share unevenly."""
        kind, role = axis.split(".")
        shares = width.uneven_shares(seed)
        if kind in ("query", "key", "value", "query_norm", "key_norm", "head"):
            return width.heads(stage, kind, role, shares)
        if kind in ("ffn", "pooled"):
            return width.copied_ffn(stage, kind, role, shares)
        return width.stream(stage, kind, role, shares)
