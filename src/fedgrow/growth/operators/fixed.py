"""Fixed: an initialiser as it is; nothing is learned or sent but, if asked for, the residual term."""

import torch
from torch import Generator, Tensor

from fedgrow.growth.depth import Depth
from fedgrow.growth.operators.base import Arrays, Maps, Operator, Sizes


class Fixed(Operator):
    """Growth without learning: the non-learned methods as operators and as baselines."""

    kind = "fixed"
    learns = "nothing"
    needs_matrix = False

    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return no arrays."""
        return {}

    def initial(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Return the residual's arrays only."""
        generator = torch.Generator().manual_seed(self.seed)
        return {name: array.to(dtype) for name, array in self._residual_start(generator).items()}

    def width_shapes(self) -> Sizes:
        """Return none."""
        return {}

    def _depth_shapes(self) -> Sizes:
        return {}

    def maps(self, arrays: Arrays) -> Maps:
        """Return the initialiser's maps."""
        return Maps.shared(self.stage.family, {axis: begin.map for axis, begin in self.beginnings.items()})

    def depth(self, arrays: Arrays) -> dict[str, Depth]:
        """Return the initialiser's depth."""
        return self.initialiser.depth(self.stage)

    def width_learning_rate(self) -> float:
        """Return that of the residual: there are no maps to learn."""
        return 0.2 / self.stage.target.width
