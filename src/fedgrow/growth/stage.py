"""One stage of growth: from one shape to another, within one family."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fedgrow.architectures import Family, Shape
from fedgrow.architectures.configuration import check_shape, rope, rotary_share, with_rotary, with_shape
from fedgrow.errors import ShapeError
from fedgrow.growth.depth import source_layers, stacked_layers
from fedgrow.growth.heads import Groups


@dataclass(frozen=True)
class Stage:
    """A step of growth from ``source`` to ``target``.

    Attributes:
        family: the family's table.
        source: the shape before.
        target: the shape after.
        duplicate: whether the residual stream is widened by duplication even where that is not exact.
        stacked: whether new layers follow in the order of stacking, not beside their source.

    Raises:
        ShapeError: the family cannot have one of the shapes, the target is smaller than the source in some axis, or
            the source's groups of heads do not fit into the target's; the axis and both sizes are named.
    """

    family: Family
    source: Shape
    target: Shape
    duplicate: bool = False
    stacked: bool = False

    def __post_init__(self) -> None:
        source = with_rotary(self.family, self.source, self.source)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "target", with_rotary(self.family, self.target, source))
        for shape in (self.source, self.target):
            check_shape(self.family, shape)
        axes = ["layers", "width", "heads", "kv_heads", "head_size", "ffn"]
        if self.source.decoder_layers is not None:
            axes.append("decoder_layers")
        for axis in axes:
            small, large = getattr(self.source, axis), getattr(self.target, axis)
            if large < small:
                raise ShapeError(
                    f"cannot grow {axis} from {small} to {large}: growth never shrinks an axis "
                    f"(from {self.source} to {self.target}); choose a target with {axis} >= {small}"
                )
        turning = with_rotary(self.family, self.target.model_copy(update={"rotary": None}), source).rotary
        if self.target.rotary != turning:
            raise ShapeError(
                f"rotary: heads of {source.head_size} with {source.rotary} rotary dimensions become heads of "
                f"{self.target.head_size} with {turning}, not {self.target.rotary}; leave it out of the target"
            )
        self.groups.check()

    @cached_property
    def groups(self) -> Groups:
        """Where heads and groups of heads go."""
        return Groups(self.source.heads, self.source.kv_heads, self.target.heads, self.target.kv_heads)

    @property
    def duplicates(self) -> bool:
        """Whether the residual stream is widened by duplication: on request, or under post-norm at an integer ratio.

        Otherwise new entries are the mean of the old (LayerNorm) or zero (RMSNorm): exact for every ratio under
        pre-norm, where under post-norm only duplication is.
        """
        return self.duplicate or (self.family.norm == "post" and self._whole)

    @property
    def _whole(self) -> bool:
        return self.target.width % self.source.width == 0

    @property
    def _ratio(self) -> float:
        return 1.0 if self.duplicates else self.source.width / self.target.width

    @property
    def eps_factor(self) -> float:
        """Factor for the norms' epsilon: new entries that add nothing scale the variance by source / target width."""
        return 1.0 if self.family.keeps_eps else self._ratio

    @property
    def stream_scale(self) -> float:
        """Factor for all that writes the stream: the root of target / source width where epsilon has to stay."""
        return 1.0 / math.sqrt(self._ratio) if self.family.keeps_eps else 1.0

    @property
    def gain_scale(self) -> float:
        """Factor for a norm's gain."""
        return math.sqrt(self._ratio)

    @property
    def rotary_step(self) -> int:
        """Step from pair to pair of turning entries in a larger head: pair j of the old goes to ``rotary_step`` j."""
        old, new = self.source, self.target
        if old.rotating != old.head_size or new.head_size % old.head_size:
            return 1
        return new.head_size // old.head_size

    @property
    def width_is_exact(self) -> bool:
        """Whether widening keeps the function (docs/exactness.md: only post-norm at a non-integer ratio does not)."""
        return self._whole or (self.family.norm == "pre" and not self.duplicate)

    def config(self, config: Any) -> Any:
        """Return the grown model's configuration.

        Raises:
            ShapeError: the rotary positions are of a kind that larger heads cannot keep.
        """
        grown = with_shape(
            config,
            self.family,
            self.target,
            eps_factor=self.eps_factor,
            rotary=self._rotary(config),
            layers=(stacked_layers if self.stacked else source_layers)(
                self.source.layers, self.target.layers
            ),
        )
        for field, fold in self.family.folded_config.items():
            setattr(grown, field, not fold.value)
        return grown

    def _rotary(self, config: Any) -> dict[str, Any]:
        """Return rotary settings that turn the old pairs as before.

        With whole turning heads and an integer ratio the old pairs are spread (pair j goes to ratio x j) and turn
        alike; else theta becomes theta^(target / source head size). If only a part of each head turns, that part stays.
        """
        settings = rope(self.family, config)
        old, new = self.source, self.target
        if not settings or new.head_size == old.head_size:
            return settings
        assert self.family.rotary is not None
        kind = settings.get("rope_type", "default")
        if kind not in self.family.rotary.exact_types:
            raise ShapeError(
                f"head_size: positions of type {kind!r} depend on the head size beyond their frequencies; heads of "
                f"{old.head_size} cannot become {new.head_size}; keep the head size, and grow the number of heads"
            )
        if old.rotating != old.head_size:
            settings["partial_rotary_factor"] = rotary_share(old.rotating, new.head_size)
        elif self.rotary_step == 1:
            settings["rope_theta"] = settings["rope_theta"] ** (new.head_size / old.head_size)
        return settings
