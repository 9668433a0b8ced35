"""Dense: a whole matrix per axis and layer, as LiGO publishes it (Wang et al., ICLR 2023, section 3.2)."""

from torch import Generator, Tensor

from fedgrow.growth.maps import Matrix
from fedgrow.growth.operators.base import Arrays, Maps, Operator, Sizes, start_matrix

# Outside the blocks nothing but the stream and the norms is mapped.
OUTER_AXES = ("stream.out", "norm.gain", "norm.shift", "norm.in")


class Dense(Operator):
    """E and F per axis and source layer, and one more set for embeddings, final norm and heads."""

    kind = "dense"
    learns = "E and F of every axis, for every small layer, and the depth"
    allows_ties = True

    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return matrices (source layers, large, small) for the blocks and (large, small) for the rest."""
        arrays = {}
        for axis, begin in self.beginnings.items():
            matrix = start_matrix(begin, generator)
            for block in self.stage.family.blocks:
                arrays[f"{block.depth}/{axis}"] = matrix.repeat(block.layers(self.stage.source), 1, 1)
            if axis in OUTER_AXES:
                arrays[f"outer/{axis}"] = matrix.clone()
        return arrays

    def width_shapes(self) -> Sizes:
        """Return the same by arithmetic."""
        shapes = Sizes()
        for axis in self.learned_axes:
            for block in self.stage.family.blocks:
                shapes[f"{block.depth}/{axis}"] = (block.layers(self.stage.source), *self.sizes(axis))
            if axis in OUTER_AXES:
                shapes[f"outer/{axis}"] = self.sizes(axis)
        return shapes

    def maps(self, arrays: Arrays) -> Maps:
        """Give every source layer its own matrices."""
        axes = self.stage.family.learned_axes
        return Maps(
            blocks={
                block.depth: {a: Matrix(arrays[f"{block.depth}/{self.resolve(a)}"]) for a in axes}
                for block in self.stage.family.blocks
            },
            outer={a: Matrix(arrays[f"outer/{self.resolve(a)}"]) for a in axes if a in OUTER_AXES},
        )

    def width_learning_rate(self) -> float:
        """Entries of a map move together, so the step shrinks with the fan-in: 5e-5 at width 384."""
        return 0.02 / self.stage.source.width
