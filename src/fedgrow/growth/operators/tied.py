"""Tied: one whole matrix per axis, shared by all layers."""

from torch import Generator, Tensor

from fedgrow.growth.operators.base import Arrays, Maps, Operator, as_matrices, start_matrix


class Tied(Operator):
    """E and F of every axis, shared by all layers and by the embeddings."""

    kind = "tied"

    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return one (large, small) matrix per axis."""
        return {
            f"map/{axis}": start_matrix(self.stage, axis, self.start, generator) for axis in self.learned_axes
        }

    def maps(self, arrays: Arrays) -> Maps:
        """Use the same matrices inside and outside the blocks."""
        shared = as_matrices(arrays, self, "map/")
        return Maps(block=shared, outer=shared)

    def width_learning_rate(self) -> float:
        """Entries of a map move together, so the step shrinks with the fan-in: 5e-5 at width 384."""
        return 0.02 / self.stage.source.width
