"""Drawn: an initialiser as it is, with its free rows drawn at random; the growth of ``fedgrow grow``.

Nothing is learned. What no other tensor reads yet starts at random instead of as a copy, so that copies part in training;
every map stays a gather with a few dense rows, cheap to hold and to apply.
"""

import torch
from torch import Generator, Tensor

from fedgrow.growth.maps import Map, Matrix, Topped
from fedgrow.growth.operators.base import Arrays, Maps, Sizes, free_rows
from fedgrow.growth.operators.fixed import Fixed


class Drawn(Fixed):
    """Growth without learning, symmetry broken where that is free; xavier's random maps are drawn, too."""

    kind = "drawn"
    allows_ties = True

    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return the free rows of every axis; whole matrices where the initialiser has them."""
        arrays = {}
        for axis, begin in self.beginnings.items():
            if isinstance(begin.map, Matrix):
                arrays[f"map/{axis}"] = begin.map.weight
            elif begin.free.any():
                arrays[f"map/{axis}"] = free_rows(begin, generator)
        return arrays

    def width_shapes(self) -> Sizes:
        """Return the same; only the maps say how many rows are free, so that they are made."""
        return {name: tuple(rows.shape) for name, rows in self.width_start(torch.Generator()).items()}

    def initial(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Return the drawn rows."""
        generator = torch.Generator().manual_seed(self.seed)
        return {name: array.to(dtype) for name, array in self.width_start(generator).items()}

    def maps(self, arrays: Arrays) -> Maps:
        """Put the rows in their places."""
        drawn = {axis: self._map(axis, arrays) for axis in self.beginnings}
        axes = self.stage.family.learned_axes
        return Maps.shared(self.stage.family, {axis: drawn[self.resolve(axis)] for axis in axes})

    def _map(self, axis: str, arrays: Arrays) -> Map:
        begin, rows = self.beginnings[axis], arrays.get(f"map/{axis}")
        if rows is None:
            return begin.map
        return Matrix(rows) if isinstance(begin.map, Matrix) else Topped(begin.map, rows, begin.free)  # type: ignore[arg-type]
