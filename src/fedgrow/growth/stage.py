"""One stage of growth: from one shape to another, within one family."""

import math
from dataclasses import dataclass

from fedgrow.architectures import Family, Shape
from fedgrow.errors import ShapeError


@dataclass(frozen=True)
class Stage:
    """A step of growth from ``source`` to ``target``.

    Raises:
        ShapeError: the target is smaller than the source in some axis; the axis and both sizes are named.
    """

    family: Family
    source: Shape
    target: Shape

    def __post_init__(self) -> None:
        for axis in ("layers", "width", "heads", "head_size", "ffn"):
            small, large = getattr(self.source, axis), getattr(self.target, axis)
            if large < small:
                raise ShapeError(
                    f"cannot grow {axis} from {small} to {large}: growth never shrinks an axis "
                    f"(from {self.source} to {self.target}); choose a target with {axis} >= {small}"
                )

    @property
    def duplicates(self) -> bool:
        """Whether the residual stream is widened by duplication (post-norm, integer ratio) or by mean rows.

        Mean rows are exact for every ratio under pre-norm; under post-norm only duplication is exact.
        """
        return self.family.norm == "post" and self.target.width % self.source.width == 0

    @property
    def eps_factor(self) -> float:
        """Factor for the norms' epsilon: mean rows scale the variance by source width / target width."""
        return 1.0 if self.duplicates else self.source.width / self.target.width

    @property
    def width_is_exact(self) -> bool:
        """Whether widening keeps the function (docs/exactness.md: only post-norm at a non-integer ratio does not)."""
        return self.family.norm == "pre" or self.duplicates

    @property
    def gain_scale(self) -> float:
        """Factor for a norm's gain."""
        return math.sqrt(self.eps_factor)
