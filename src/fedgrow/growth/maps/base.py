"""What every map is."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Map(Protocol):
    """A linear map from an axis of size ``small`` to one of size ``large``."""

    @property
    def large(self) -> int:
        """Size of the axis after the map."""

    @property
    def small(self) -> int:
        """Size of the axis before the map."""

    @property
    def cost(self) -> int:
        """Multiplications for one vector along the axis; gathers are free."""

    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` of ``x`` from ``small`` to ``large``."""

    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` of ``x`` from ``large`` to ``small`` by the transpose."""

    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""


class OverBase:
    """A map of the same size as the one that it changes, its ``base``."""

    base: Map

    @property
    def large(self) -> int:
        """Size of the axis after the map."""
        return self.base.large

    @property
    def small(self) -> int:
        """Size of the axis before the map."""
        return self.base.small


def along(vector: Tensor, x: Tensor, dim: int) -> Tensor:
    """Reshape a vector so that it lies along dimension ``dim`` of ``x``."""
    return vector.reshape([-1 if d == dim % x.dim() else 1 for d in range(x.dim())])
