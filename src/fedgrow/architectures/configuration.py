"""From a Hugging Face configuration to a shape, and from a shape to a configuration."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedgrow.architectures.shape import Shape
from fedgrow.architectures.table import Family
from fedgrow.errors import ShapeError


def shape_of(family: Family, config: Any) -> Shape:
    """Read the shape of a model from its configuration."""
    values: dict[str, Any] = {
        axis: getattr(config, field, None) for axis, field in family.config.items() if axis != "norm_eps"
    }
    width, heads = values["width"], values["heads"]
    for axis, times in family.defaults.items():
        if values[axis] is None:
            values[axis] = times * width
    if family.ffn_rule != "size":
        values["ffn"] = _ffn_of_ratio(family, width, values["ffn"])
    if values.get("head_size") is None:
        values["head_size"] = width // heads
    if family.rotary is not None:
        values["rotary"] = int(values["head_size"] * _rope(family, config).get("partial_rotary_factor", 1.0))
    return Shape(**values)


def check_shape(family: Family, shape: Shape) -> None:
    """Check that the family can have a shape.

    Raises:
        ShapeError: it cannot; the setting, what was found and what the family needs are named.
    """
    if not family.free_head_size and shape.heads * shape.head_size != shape.width:
        raise ShapeError(
            f"head_size: {shape.heads} heads of {shape.head_size} make {shape.heads * shape.head_size}, but the width is "
            f"{shape.width}; {family.family} needs heads x head_size = width"
        )
    if family.width_divides_heads and shape.width % shape.heads:
        raise ShapeError(
            f"heads: {family.family} needs a width that {shape.heads} heads divide, not {shape.width}; "
            f"choose width {math.ceil(shape.width / shape.heads) * shape.heads}, or other heads"
        )
    if shape.kv_heads != shape.heads and "kv_heads" not in family.config:
        raise ShapeError(
            f"kv_heads: {family.family} has as many as heads ({shape.heads}), not {shape.kv_heads}; leave it out"
        )
    if shape.heads % shape.kv_heads:
        raise ShapeError(
            f"kv_heads: {shape.kv_heads} does not divide {shape.heads} heads; choose a number that does"
        )
    if (shape.decoder_layers is None) is ("decoder_layers" in family.config):
        needs = "needs decoder_layers" if shape.decoder_layers is None else "has no decoder_layers"
        raise ShapeError(
            f"decoder_layers: {family.family} {needs}, but the shape says {shape.decoder_layers}"
        )
    if family.rotary is not None and shape.rotating % 2:
        raise ShapeError(
            f"head_size: rotary positions turn pairs of entries, but {shape.rotating} is odd; choose an even head size"
        )
    if family.ffn_rule != "size":
        _ratio(family, shape)


def possible_ffn(family: Family, width: int, at_least: int) -> int:
    """Return the narrowest FFN of at least this width that the family can have beside this stream."""
    if family.ffn_rule == "size":
        return at_least
    ratio = 1
    while _ffn_of_ratio(family, width, ratio) < at_least:
        ratio += 1
    return _ffn_of_ratio(family, width, ratio)


def config_values(family: Family, shape: Shape) -> dict[str, Any]:
    """Return the configuration fields that give a model this shape (rotary settings left out)."""
    values: dict[str, Any] = {
        field: getattr(shape, axis) for axis, field in family.config.items() if axis != "norm_eps"
    }
    if family.ffn_rule != "size":
        values[family.config["ffn"]] = _ratio(family, shape)
    return values | dict.fromkeys(family.follows_width, shape.width)


def rope(family: Family, config: Any) -> dict[str, Any]:
    """Return a copy of the rotary settings of a configuration; empty for families without rotary positions."""
    return dict(_rope(family, config)) if family.rotary is not None else {}


def with_shape(
    config: Any,
    family: Family,
    shape: Shape,
    *,
    eps_factor: float = 1.0,
    rotary: Mapping[str, Any] | None = None,
    layers: Sequence[int] | None = None,
) -> Any:
    """Return a copy of a configuration with another shape, made anew so that derived fields follow.

    Args:
        config: the configuration.
        family: its family's table.
        shape: the new shape.
        eps_factor: factor for the norms' epsilon.
        rotary: rotary settings to replace the old.
        layers: for every new layer the old one that it starts from, for lists with an entry per layer.
    """
    values = copy.deepcopy(config.to_dict()) | config_values(family, shape)
    for field in family.dropped_config:
        values.pop(field, None)
    for field in family.follows_layers:
        if values.get(field) is not None and layers is not None:
            values[field] = [values[field][i] for i in layers]
    if "norm_eps" in family.config:
        field = family.config["norm_eps"]
        values[field] = getattr(config, field) * eps_factor
    if rotary and family.rotary is not None:
        values[family.rotary.parameters] = dict(rotary)
    values["dtype"] = "float32"
    large = type(config).from_dict(values)
    for field in family.kept_config:
        setattr(large, field, getattr(config, field))
    return large


def _rope(family: Family, config: Any) -> dict[str, Any]:
    assert family.rotary is not None
    return getattr(config, family.rotary.parameters, None) or {}


def _ffn_of_ratio(family: Family, width: int, ratio: int) -> int:
    hidden = width * ratio
    return (int(hidden * 2 / 3) + 7) // 8 * 8 if family.ffn_rule == "swiglu-ratio" else hidden


def _ratio(family: Family, shape: Shape) -> int:
    """Return the whole ratio that gives this FFN; configurations take no other."""
    for ratio in range(1, 2 + 2 * shape.ffn // shape.width):
        if _ffn_of_ratio(family, shape.width, ratio) == shape.ffn:
            return ratio
    possible = [_ffn_of_ratio(family, shape.width, r) for r in range(1, 9)]
    raise ShapeError(
        f"ffn: {family.family} has whole ratios of FFN to width only; {shape.ffn} is none at width {shape.width}, "
        f"choose from {', '.join(map(str, possible))}, ..."
    )
