"""Stacking: the whole model again and again; width as under ``exact``."""

from dataclasses import replace

from fedgrow.growth.depth import Depth, copied_depth, deepens, stacked_layers
from fedgrow.growth.initialisers.base import Exactness
from fedgrow.growth.initialisers.exact import Exact
from fedgrow.growth.stage import Stage


class Stack(Exact):
    """Layer i of the large model is layer i modulo the small depth."""

    name = "stack"
    source = "Gong et al., ICML 2019; G_stack (Du et al., NeurIPS 2024)"

    def stage(self, stage: Stage) -> Stage:
        """Stack the entries of per-layer settings too."""
        return replace(stage, stacked=True)

    def depth(self, stage: Stage) -> dict[str, Depth]:
        """Stack copies."""
        return copied_depth(stage, stacked_layers)

    def declared(self, stage: Stage) -> Exactness:
        """Repeating blocks changes the function; width alone does not."""
        return "not preserved" if deepens(stage) else super().declared(stage)
