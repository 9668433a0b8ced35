"""The shape of a transformer: the axes that growth changes."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PositiveInt, model_validator


class Shape(BaseModel):
    """Layers, width of the residual stream, heads, head size and FFN width of a transformer.

    ``head_size`` may be left out (width / heads), and so may ``ffn`` (four times the width).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    head_size: PositiveInt
    ffn: PositiveInt

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        width, heads = filled.get("width"), filled.get("heads")
        if isinstance(width, int) and width > 0:
            filled.setdefault("ffn", 4 * width)
            if isinstance(heads, int) and heads > 0 and filled.get("head_size") is None:
                if width % heads:
                    raise ValueError(
                        f"heads: width {width} is not divisible by {heads} heads; "
                        "choose heads that divide the width, or give head_size"
                    )
                filled["head_size"] = width // heads
        return filled

    @model_validator(mode="after")
    def _heads_fill_width(self) -> Self:
        # BERT, ViT and GPT-2 fix head size = width / heads; a family that frees it will say so in its table.
        if self.heads * self.head_size != self.width:
            raise ValueError(
                f"head_size: {self.heads} heads of {self.head_size} make {self.heads * self.head_size}, "
                f"but the width is {self.width}; these families need heads x head_size = width"
            )
        return self

    def __str__(self) -> str:
        """Short form for tables, as ``6x768 12 heads of 64 ffn 3072``."""
        return f"{self.layers}x{self.width} {self.heads} heads of {self.head_size} ffn {self.ffn}"
