"""What every map is."""

from abc import ABC, abstractmethod
from functools import cached_property

from jaxtyping import Float
from torch import Tensor


class Map(ABC):
    """A linear map from an axis of size ``small`` to one of size ``large``."""

    @property
    @abstractmethod
    def large(self) -> int:
        """Size of the axis after the map."""

    @property
    @abstractmethod
    def small(self) -> int:
        """Size of the axis before the map."""

    @property
    @abstractmethod
    def cost(self) -> int:
        """Multiplications for one vector along the axis; gathers are free."""

    @abstractmethod
    def apply(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` of ``x`` from ``small`` to ``large``."""

    @abstractmethod
    def pull(self, x: Tensor, dim: int) -> Tensor:
        """Map dimension ``dim`` of ``x`` from ``large`` to ``small`` by the transpose."""

    @abstractmethod
    def dense(self) -> Float[Tensor, "large small"]:
        """Return the map as a matrix."""


class OverBase(Map):
    """A map of the same size as the one that it changes, its ``base``."""

    base: Map

    @cached_property
    def large(self) -> int:
        """Size of the axis after the map."""
        return self.base.large

    @cached_property
    def small(self) -> int:
        """Size of the axis before the map."""
        return self.base.small


def along(vector: Tensor, x: Tensor, dim: int) -> Tensor:
    """Reshape a vector so that it lies along dimension ``dim`` of ``x``."""
    return vector.reshape([-1 if d == dim % x.dim() else 1 for d in range(x.dim())])
