"""What a model of a family can grow to: exactly, approximately or not at all (docs/exactness.md)."""

from dataclasses import asdict, dataclass
from typing import Literal

from fedgrow.architectures import Family, Shape


@dataclass(frozen=True)
class Possibility:
    """One direction of growth, whether it keeps the function, and by which rule."""

    direction: str
    exactness: Literal["exact", "approximate", "impossible"]
    rule: str

    def as_dict(self) -> dict[str, str]:
        """Return plain values."""
        return asdict(self)


def possibilities(family: Family, shape: Shape) -> list[Possibility]:
    """Return every direction of growth for a model of this shape."""
    width = shape.width
    coupled = (
        f"heads x head size = width: with more heads than {shape.heads}, "
        f"larger heads than {shape.head_size}, or both"
    )
    rows = [
        Possibility(
            "layers",
            "exact",
            f"more than {shape.layers}: new blocks write nothing into the stream"
            + ("" if family.norm == "pre" else "; error of the order of the norms' epsilon"),
        ),
        Possibility("ffn", "exact", f"any width above {shape.ffn}: nothing reads the new units at first"),
        Possibility("heads, head size", "exact", coupled),
    ]
    if family.norm == "pre":
        rows.append(
            Possibility(
                "width", "exact", f"any above {width}: new rows of the stream are the mean of the old"
            )
        )
    else:
        multiples = ", ".join(str(width * m) for m in (2, 3, 4))
        rows.append(Possibility("width", "exact", f"{multiples}, ...: duplication"))
        rows.append(
            Possibility(
                "width", "approximate", f"any other above {width}: mean rows; post-norm statistics shift"
            )
        )
    rows.append(
        Possibility("any", "impossible", f"fewer layers, heads, head size, ffn or width than {shape}")
    )
    return rows
