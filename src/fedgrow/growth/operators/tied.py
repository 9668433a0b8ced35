"""Tied: one whole matrix per axis, shared by all layers."""

from torch import Generator, Tensor

from fedgrow.growth.maps import Matrix
from fedgrow.growth.operators.base import Arrays, Maps, Operator, Sizes, start_matrix


class Tied(Operator):
    """E and F of every axis, shared by all layers and by the embeddings."""

    kind = "tied"
    learns = "E and F of every axis, one for all layers, and the depth"
    allows_ties = True

    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return one (large, small) matrix per axis."""
        return {f"map/{axis}": start_matrix(begin, generator) for axis, begin in self.beginnings.items()}

    def width_shapes(self) -> Sizes:
        """Return the same by arithmetic."""
        return {f"map/{axis}": self.sizes(axis) for axis in self.learned_axes}

    def maps(self, arrays: Arrays) -> Maps:
        """Use the same matrices inside and outside the blocks."""
        axes = self.stage.family.learned_axes
        return Maps.shared(
            self.stage.family, {axis: Matrix(arrays[f"map/{self.resolve(axis)}"]) for axis in axes}
        )

    def width_learning_rate(self) -> float:
        """Entries of a map move together, so the step shrinks with the fan-in: 5e-5 at width 384."""
        return 0.02 / self.stage.source.width
