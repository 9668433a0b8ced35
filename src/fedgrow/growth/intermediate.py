"""The smallest common intermediate shape that several small models reach exactly, or why there is none."""

import math
from collections.abc import Sequence

from fedgrow.architectures import Family, Shape
from fedgrow.errors import ShapeError


def smallest_intermediate(
    family: Family, small: Sequence[Shape], *, large: Shape | None = None, max_width: int | None = None
) -> Shape:
    """Return the narrowest shape that every small model reaches, and that reaches ``large``, exactly.

    Every head count and head size must hold all of them, for heads are never cut or merged; under post-norm
    the width must be a multiple of every small width (docs/exactness.md).

    Args:
        family: the family's table.
        small: shapes of the participants' models.
        large: the shape to be reached in the end, which bounds every axis.
        max_width: the widest intermediate shape that is allowed; default: the large one's.

    Raises:
        ShapeError: there is none; the text says what stands in the way.
    """
    heads, head_size = (max(getattr(s, axis) for s in small) for axis in ("heads", "head_size"))
    layers, ffn = (max(getattr(s, axis) for s in small) for axis in ("layers", "ffn"))
    if large is not None:
        for axis, need in (("layers", layers), ("heads", heads), ("head_size", head_size), ("ffn", ffn)):
            if getattr(large, axis) < need:
                raise ShapeError(
                    f"no common intermediate shape: a small model has {axis} {need}, "
                    f"the large shape {getattr(large, axis)}; choose a large shape with {axis} >= {need}"
                )
    bound = min(w for w in (max_width, large.width if large else None, 1 << 16) if w is not None)
    step = math.lcm(*(s.width for s in small)) if family.norm == "post" else 1
    reasons = {f"{heads} heads of {head_size} are needed, {heads * head_size} together"}
    if step > 1:
        reasons.add(f"under post-norm the width must be a multiple of {step} (of every small width)")
    if large is not None and family.norm == "post":
        reasons.add(f"the large width {large.width} must be a multiple of it")
    for width in range(step, bound + 1, step):
        if family.norm == "post" and large is not None and large.width % width:
            continue
        for count in range(heads, width // head_size + 1):
            fits = width % count == 0 and (
                large is None or (count <= large.heads and width // count <= large.head_size)
            )
            if fits and width // count >= head_size:
                return small[0].model_copy(
                    update={
                        "layers": layers,
                        "width": width,
                        "heads": count,
                        "kv_heads": count,
                        "head_size": width // count,
                        "ffn": ffn,
                    }
                )
    raise ShapeError(
        f"no common intermediate shape up to width {bound} is reached exactly by all: "
        f"{'; '.join(sorted(reasons))}"
    )
