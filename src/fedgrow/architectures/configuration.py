"""From a Hugging Face configuration to a shape, and from a shape to a configuration."""

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from fedgrow.architectures.registry import condition, family_of
from fedgrow.architectures.shape import Shape
from fedgrow.architectures.table import Family
from fedgrow.errors import ShapeError

POSITIONS = "max_position_embeddings"


def shape_of(family: Family, config: Any) -> Shape:
    """Read the shape of a model from its configuration.

    Raises:
        ShapeError: a size is none; its field is named.
    """
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
        values["head_size"] = width // max(heads, 1)
    if family.rotary is not None:
        values["rotary"] = int(values["head_size"] * _rope(family, config).get("partial_rotary_factor", 1.0))
    return Shape.of("configuration", values, family.config)


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
            f"kv_heads: {family.family} has no grouped-query attention, so kv_heads must equal heads ({shape.heads}), "
            f"found {shape.kv_heads}; leave it out"
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
    if family.rotary is None and shape.rotary is not None:
        raise ShapeError(
            f"rotary: {family.family} has no rotary positions, but the shape says {shape.rotary}; leave it out"
        )
    if shape.rotating > shape.head_size:
        raise ShapeError(
            f"rotary: {shape.rotating} rotary dimensions exceed the head size {shape.head_size}; choose at most that"
        )
    if family.rotary is not None and shape.rotating % 2:
        raise ShapeError(
            f"head_size: rotary dimensions come in pairs, but {shape.rotating} is odd; choose an even head size"
        )
    if family.ffn_rule != "size":
        _ratio(family, shape)


def with_rotary(family: Family, shape: Shape, like: Shape) -> Shape:
    """Fill in the rotary dimensions of each head, where a shape leaves it open: as in the model that it grows from.

    Where all dimensions of a head are rotary, so are all of a larger head; a rotary part keeps its size.
    """
    if family.rotary is None or shape.rotary is not None:
        return shape
    whole = like.rotating == like.head_size
    return shape.model_copy(update={"rotary": shape.head_size if whole else like.rotating})


def possible_ffn(family: Family, width: int, at_least: int) -> int:
    """Return the narrowest FFN of at least this width that the family can have beside this stream."""
    if family.ffn_rule == "size":
        return at_least
    ratio = 1
    while _ffn_of_ratio(family, width, ratio) < at_least:
        ratio += 1
    return _ffn_of_ratio(family, width, ratio)


def scaled_ffn(family: Family, source: Shape, width: int) -> int:
    """Return the FFN beside a stream of another width that keeps a shape's ratio of FFN to width."""
    if family.ffn_rule == "size":
        return -(-source.ffn * width // source.width)
    return _ffn_of_ratio(family, width, _ratio(family, source))


def config_values(family: Family, shape: Shape) -> dict[str, Any]:
    """Return the configuration fields that give a model this shape (rotary settings left out)."""
    values: dict[str, Any] = {
        field: getattr(shape, axis) for axis, field in family.config.items() if axis != "norm_eps"
    }
    if family.ffn_rule != "size":
        values[family.config["ffn"]] = _ratio(family, shape)
    return values | dict.fromkeys(family.follows_width, shape.width)


def new_config(family: Family, shape: Shape, settings: Mapping[str, Any]) -> Any:
    """Return the configuration of a model that is made anew with this shape and these other values.

    Raises:
        ShapeError: with these values it is a model of another table.
    """
    settings = dict(settings)
    if POSITIONS in settings:  # as tokens of the longest text
        settings[POSITIONS] = positions(family, settings[POSITIONS], settings.get("pad_token_id"))
    config = AutoConfig.for_model(family.model_type, **config_values(family, shape) | settings)
    if family.rotary is not None and shape.rotary is not None:
        settings = _rope(family, config) | {
            "partial_rotary_factor": rotary_share(shape.rotary, shape.head_size)
        }
        setattr(config, family.rotary.parameters, settings)
    if (found := family_of(config).family) != family.family:
        raise ShapeError(
            f"family: these settings and shape make a {found}, not a {family.family}; "
            f"name {found}, or set model_settings such that {condition(family)}"
        )
    return config


def longest_text(family: Family, config: Any) -> int | None:
    """Return how many tokens a model with this configuration takes at most; None: it says nothing of it."""
    rows = getattr(config, POSITIONS, None)
    return rows and rows - positions(family, 0, config.pad_token_id)


def positions(family: Family, longest: int, padding: int | None) -> int:
    """Return how many rows a table of positions has for texts of so many tokens, padded with this token."""
    return longest + ((padding or 0) + 1 if family.positions_after_padding else 0)


def image_sides(size: int | Sequence[int]) -> tuple[int, ...]:
    """Return height and width of images from a configuration, which has one number for square ones."""
    return (size, size) if isinstance(size, int) else tuple(size)


def rotary_share(rotating: int, head_size: int) -> float:
    """Return the share of a head that turns, such that the library's rounding down gives the same entries back."""
    share = rotating / head_size
    return share if int(head_size * share) == rotating else math.nextafter(share, 1.0)


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

    Raises:
        ShapeError: at this width the model would need another table (its embeddings' width, for instance).
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
    if (found := family_of(large).family) != family.family:
        raise ShapeError(
            f"width: a {family.model_type} of width {shape.width} is built in another way (as {found}, not as "
            f"{family.family}); choose another width"
        )
    return large


def save_config(family: Family, config: Any, folder: Path) -> None:
    """Save a configuration such that loading it gives the same values, also of fields that are derived on loading."""
    config.save_pretrained(folder)
    if not family.kept_config:
        return
    file = folder / "config.json"
    values = json.loads(file.read_text("utf-8"))
    values |= {source: getattr(config, field) for field, source in family.kept_config.items()}
    file.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", "utf-8")


def _rope(family: Family, config: Any) -> dict[str, Any]:
    assert family.rotary is not None
    return getattr(config, family.rotary.parameters, None) or {}


def _ffn_of_ratio(family: Family, width: int, ratio: int) -> int:
    hidden = width * ratio
    return (int(hidden * 2 / 3) + 7) // 8 * 8 if family.ffn_rule == "swiglu-ratio" else hidden


def _ratio(family: Family, shape: Shape) -> int:
    """Return the integer multiple that gives this FFN; configurations take no other."""
    for ratio in range(1, 2 + 2 * shape.ffn // shape.width):
        if _ffn_of_ratio(family, shape.width, ratio) == shape.ffn:
            return ratio
    possible = [_ffn_of_ratio(family, shape.width, r) for r in range(1, 9)]
    raise ShapeError(
        f"ffn: {family.family} has integer ratios of FFN to width only; {shape.ffn} is none at width {shape.width}, "
        f"choose from {', '.join(map(str, possible))}, ..."
    )
