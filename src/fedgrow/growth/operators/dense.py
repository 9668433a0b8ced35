"""Dense: a whole matrix per axis and layer, as LiGO publishes it (Wang et al., ICLR 2023, section 3.2)."""

from torch import Generator, Tensor

from fedgrow.growth.operators.base import Arrays, Maps, Operator, as_matrices, start_matrix

# Outside the blocks nothing but the stream and the norms is mapped.
OUTER_AXES = ("stream.out", "norm.gain", "norm.shift", "norm.in")


class Dense(Operator):
    """E and F per axis and source layer, and one more set for embeddings, final norm and heads."""

    kind = "dense"

    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return matrices (source layers, large, small) for the blocks and (large, small) for the rest."""
        arrays = {}
        for axis in self.learned_axes:
            exact = start_matrix(self.stage, axis, self.start, generator)
            arrays[f"block/{axis}"] = exact.repeat(self.stage.source.layers, 1, 1)
            if axis in OUTER_AXES:
                arrays[f"outer/{axis}"] = exact.clone()
        return arrays

    def maps(self, arrays: Arrays) -> Maps:
        """Give every source layer its own matrices."""
        return Maps(
            block=as_matrices(arrays, self, "block/"),
            outer=as_matrices(arrays, self, "outer/", OUTER_AXES),
            per_layer=True,
        )

    def width_learning_rate(self) -> float:
        """Entries of a map move together, so the step shrinks with the fan-in: 5e-5 at width 384."""
        return 0.02 / self.stage.source.width
