"""Interpolation: every layer repeated in its place; width as under ``exact``."""

from fedgrow.growth.depth import Depth, copied_depth, source_layers
from fedgrow.growth.initialisers.stack import Stack
from fedgrow.growth.stage import Stage


class Interpolate(Stack):
    """Layer i of the large model is layer i x small depth / large depth."""

    name = "interpolate"
    source = "Chang et al., ICLR 2018; Dong et al., ICML 2020"

    def stage(self, stage: Stage) -> Stage:
        """Per-layer settings follow their layer."""
        return stage

    def depth(self, stage: Stage) -> dict[str, Depth]:
        """Repeat every layer in place."""
        return copied_depth(stage, source_layers)
