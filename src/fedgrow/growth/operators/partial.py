"""Partial: old entries stay as the initialiser places them; only the rows of new ones are learned (E = [I; C])."""

from torch import Generator, Tensor

from fedgrow.growth.maps import Map, Selection, Topped
from fedgrow.growth.operators.base import Arrays, Maps, Operator, Sizes, start_matrix


class Partial(Operator):
    """Identity on top, new rows learned, one map for all layers: as in LiGO's public code."""

    kind = "partial"
    learns = "the rows of new entries of every axis, one map for all layers, and the depth"

    def width_start(self, generator: Generator) -> dict[str, Tensor]:
        """Return one (new, small) matrix per axis that grows."""
        return {
            f"map/{axis}": start_matrix(begin, generator)[begin.new]
            for axis, begin in self.beginnings.items()
            if begin.new.any()
        }

    def width_shapes(self) -> Sizes:
        """Return the same by arithmetic."""
        sizes = {axis: (self._new(axis), self.sizes(axis)[1]) for axis in self.learned_axes}
        return {f"map/{axis}": (new, small) for axis, (new, small) in sizes.items() if new}

    def _new(self, axis: str) -> int:
        """Return how many entries of an axis are new: where key-value heads are shared, some more of these are old ones."""
        large, small = self.sizes(axis)
        shared = any(s.heads != s.kv_heads for s in (self.stage.source, self.stage.target))
        return int(self.begin(axis).new.sum()) if shared and large > small else large - small

    def maps(self, arrays: Arrays) -> Maps:
        """Put the learned rows in their places."""
        return Maps.shared(self.stage.family, {axis: self._map(axis, arrays) for axis in self.beginnings})

    def _map(self, axis: str, arrays: Arrays) -> Map:
        begin = self.beginnings[axis]
        assert isinstance(begin.map, Selection)
        return Topped(begin.map, arrays[f"map/{axis}"], begin.new) if begin.new.any() else begin.map

    def width_learning_rate(self) -> float:
        """Entries of a map move together, so the step shrinks with the fan-in: 5e-5 at width 384."""
        return 0.02 / self.stage.source.width
