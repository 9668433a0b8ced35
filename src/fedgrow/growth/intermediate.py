"""The smallest common intermediate shape that several small models reach exactly, or why there is none."""

import math
from collections.abc import Iterator, Sequence

from fedgrow.architectures import Family, Shape
from fedgrow.architectures.configuration import possible_ffn, with_rotary
from fedgrow.architectures.table import SIZE_AXES
from fedgrow.errors import ShapeError
from fedgrow.growth.stage import Stage

WIDEST = 1 << 16


def smallest_intermediate(
    family: Family, small: Sequence[Shape], *, large: Shape | None = None, max_width: int | None = None
) -> Shape:
    """Return the narrowest shape that every small model reaches, and that reaches ``large``, exactly.

    Every head count and head size must hold all of them, for heads are never cut or merged; groups of heads must fit;
    under post-norm the width must be a multiple of every small width (docs/exactness.md).

    Args:
        family: the family's table.
        small: shapes of the participants' models.
        large: the shape to be reached in the end, which bounds every axis.
        max_width: the widest intermediate shape that is allowed; default: the large one's.

    Raises:
        ShapeError: there is none; the text says what stands in the way.
    """
    small = [with_rotary(family, shape, shape) for shape in small]
    least: dict[str, int] = {axis: max(getattr(s, axis) or 0 for s in small) for axis in SIZE_AXES}
    _check_rotary(small)
    if large is not None:
        large = with_rotary(family, large, small[0])
        for axis, need in least.items():
            if (getattr(large, axis) or 0) < need:
                raise ShapeError(
                    f"no common intermediate shape: a small model has {axis} {need}, "
                    f"the large shape {getattr(large, axis)}; choose a large shape with {axis} >= {need}"
                )
    bound = min(w for w in (max_width, large.width if large else None, WIDEST) if w is not None)
    step = math.lcm(*(s.width for s in small)) if family.norm == "post" else 1
    reasons = set()
    for shape in _candidates(family, small, least, large, range(step, bound + 1, step)):
        try:
            stages = [Stage(family, s, shape) for s in small]
            stages += [Stage(family, shape, large)] if large is not None else []
        except ShapeError as error:
            reasons = {str(error)}
            continue
        if all(stage.width_is_exact for stage in stages):
            return shape
    heads, size = least["heads"], least["head_size"]
    together = "" if family.free_head_size else f", {heads * size} together"
    reasons.add(f"{heads} heads of {size} are needed{together}")
    if family.norm == "post":
        reasons.add(f"under post-norm the width must be a multiple of {step} (of every small width)")
        if large is not None:
            reasons.add(f"the large width {large.width} must be a multiple of it")
    raise ShapeError(
        f"no common intermediate shape up to width {bound} is reached exactly by all: "
        f"{'; '.join(sorted(reasons))}"
    )


def _candidates(
    family: Family, small: Sequence[Shape], least: dict[str, int], large: Shape | None, widths: range
) -> Iterator[Shape]:
    """Yield shapes that hold all small ones axis by axis, the narrowest first, then the one with the fewest heads."""
    for width in widths:
        if width < least["width"]:
            continue
        for heads, size in _heads(family, width, least, large):
            kv_heads = [heads]
            if "kv_heads" in family.config:
                kv_heads = [n for n in range(least["kv_heads"], heads + 1) if heads % n == 0]
            for kv in kv_heads:
                shape = Shape(
                    layers=least["layers"],
                    decoder_layers=least["decoder_layers"] or None,
                    width=width,
                    heads=heads,
                    kv_heads=kv,
                    head_size=size,
                    ffn=possible_ffn(family, width, least["ffn"]),
                )
                yield with_rotary(family, shape, small[0])


def _heads(
    family: Family, width: int, least: dict[str, int], large: Shape | None
) -> Iterator[tuple[int, int]]:
    """Yield numbers of heads with their size, beside a stream of this width."""
    size = least["head_size"]
    if family.free_head_size:
        # as many heads as the largest always hold the others; more only if heads have to divide the width
        most = large.heads if large else (width if family.width_divides_heads else least["heads"])
        for heads in range(least["heads"], most + 1):
            if not family.width_divides_heads or width % heads == 0:
                yield heads, size
        return
    for heads in range(least["heads"], width // size + 1):
        if width % heads == 0 and (
            large is None or (heads <= large.heads and width // heads <= large.head_size)
        ):
            yield heads, width // heads


def _check_rotary(small: Sequence[Shape]) -> None:
    """Check that every head has the same rotary dimensions: a rotary part never grows."""
    parts = {s.rotary if s.rotating != s.head_size else None for s in small}
    if len(parts) > 1:
        found = ", ".join(f"{s.rotating} of {s.head_size}" for s in small)
        raise ShapeError(
            f"no common intermediate shape: rotary dimensions of a head are {found}; a rotary part keeps its size"
        )
