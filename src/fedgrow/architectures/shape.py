"""The shape of a transformer: the axes that growth changes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedgrow.errors import ShapeError

LARGEST = 2**24  # what is larger is a slip, and would only fill the memory
A_SIZE = f"a size is a whole number from 1 to {LARGEST}"
Size = Annotated[int, Field(gt=0, le=LARGEST)]


class Shape(BaseModel):
    """Layers, width of the residual stream, heads, head size and FFN width of a transformer.

    ``head_size`` may be left out (width / heads), so may ``ffn`` (four times the width) and ``kv_heads`` (as many as
    heads). ``decoder_layers`` is for encoder-decoders only. ``rotary`` is how many dimensions of each head are
    rotary; None: all of them, or none in families without rotary positions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: Size = Field(description="blocks; of the encoder, where there is a decoder too")
    width: Size = Field(description="hidden dimensions (the residual stream)")
    heads: Size = Field(description="attention heads")
    head_size: Size = Field(description="default: width / heads")
    ffn: Size = Field(description="default: 4 x width; hidden dimensions of the FFN")
    kv_heads: Size = Field(description="default: heads; fewer with grouped-query attention")
    decoder_layers: Size | None = Field(None, description="of encoder-decoders only")
    rotary: Size | None = Field(None, description="default: by the small models; rotary dimensions of a head")

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        if missing := [name for name in ("layers", "width", "heads") if filled.get(name) is None]:
            raise ValueError(f"{', '.join(missing)}: not given; a shape needs layers, width and heads")
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
        if filled.get("kv_heads") is None and heads is not None:
            filled["kv_heads"] = heads
        return filled

    @classmethod
    def of(
        cls, what: str, sizes: Mapping[str, int | None], names: Mapping[Any, str] = MappingProxyType({})
    ) -> "Shape":
        """Return the shape of sizes that were read or reckoned.

        Args:
            what: where they come from, for errors.
            sizes: the sizes.
            names: what they are called there, where that differs.

        Raises:
            ShapeError: one of them is no size; it is named.
        """
        try:
            return cls(**sizes)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            axis = "".join(map(str, first["loc"]))
            found = f"{names.get(axis, axis)}={first['input']!r}; {A_SIZE}" if axis else first["msg"]
            raise ShapeError(f"{what}: {found}") from None

    @property
    def rotating(self) -> int:
        """How many entries of each head turn with the position, where the family has rotary positions."""
        return self.rotary or self.head_size

    def __str__(self) -> str:
        """Short form for tables, as ``6x768 12 heads of 64 ffn 3072``."""
        layers = f"{self.layers}" if self.decoder_layers is None else f"{self.layers}+{self.decoder_layers}"
        groups = "" if self.kv_heads == self.heads else f" ({self.kv_heads} kv)"
        return f"{layers}x{self.width} {self.heads} heads{groups} of {self.head_size} ffn {self.ffn}"
