"""From a few sizes that a user names (``layers=12,width=768``) to the whole shape that a model grows to."""

import re
from collections.abc import Mapping
from numbers import Integral

from fedgrow.architectures import Family, Shape
from fedgrow.architectures.configuration import scaled_ffn
from fedgrow.architectures.shape import A_SIZE, LARGEST
from fedgrow.architectures.table import SIZE_AXES
from fedgrow.errors import ShapeError
from fedgrow.growth.heads import Groups, nearest_kv_heads

Target = Shape | Mapping[str, int] | str


def parse_target(text: str) -> dict[str, int]:
    """Read sizes as they are written on the command line.

    Raises:
        ShapeError: a part is no ``name=number``, or names no size or one twice; it is quoted.
    """
    sizes: dict[str, int] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        found = re.fullmatch(r"(\w+)\s*=\s*(\d+)", part)
        if found is None:
            raise ShapeError(f"target: {part!r} is no size; write name=number, such as layers=12,width=768")
        if found[1] in sizes:
            raise ShapeError(f"target: {found[1]} is named twice; name it once")
        sizes[found[1]] = int(found[2])
    return sizes


def complete(family: Family, source: Shape, target: Target) -> Shape:
    """Return the whole shape that a target stands for.

    Sizes that are not named stay, except those that follow: with the width grow the heads (of the same size) where
    heads x head size made up the width, and the FFN (same ratio); with heads the key-value heads (same ratio where
    that works, else the smallest number that does); in a family whose heads always make up the width, the width grows
    with heads or head size; ``layers`` alone grows both stacks of an encoder-decoder if they were equally deep.

    Args:
        family: the family's table.
        source: the model's shape.
        target: a whole shape, or the sizes that are named.

    Raises:
        ShapeError: a size is unknown to the family or does not fit the others (named, with choices), or nothing
            grows.
    """
    shape = target if isinstance(target, Shape) else _follow(family, source, _named(family, target))
    if shape == source:
        raise ShapeError(f"target: {shape} is the model's own shape; name a size that grows, such as layers")
    return shape


def _named(family: Family, target: object) -> dict[str, int]:
    """Return the sizes that a target names, checked one by one."""
    sizes = parse_target(target) if isinstance(target, str) else target
    if not isinstance(sizes, Mapping):
        raise ShapeError(
            f"target: {target!r} names no sizes; give a shape, or sizes by name, such as layers=12,width=768"
        )
    possible = [name for name in SIZE_AXES if name in family.config or name == "head_size"]
    unknown = [name for name in sizes if name not in possible]
    if unknown or not sizes:
        found = f"{unknown[0]!r} is no size of {family.family}" if unknown else "no size is named"
        known_as = [axis for axis in possible if unknown and family.config.get(axis) == unknown[0]]
        meant = f" (it is called {known_as[0]} here)" if known_as else ""
        raise ShapeError(f"target: {found}{meant}; possible: {', '.join(possible)}")
    for name, size in sizes.items():
        if isinstance(size, bool) or not (isinstance(size, Integral) and 1 <= int(size) <= LARGEST):
            raise ShapeError(f"target: {name}={size!r}; {A_SIZE}")
    return {name: int(size) for name, size in sizes.items()}


def _follow(family: Family, source: Shape, named: Mapping[str, int]) -> Shape:
    heads, head_size = _heads(family, source, named)
    width = named.get("width", source.width)
    if "width" not in named and not family.free_head_size:
        width = heads * head_size
    layers, decoder_layers = named.get("layers", source.layers), source.decoder_layers
    if decoder_layers is not None:
        default = layers if decoder_layers == source.layers else decoder_layers
        decoder_layers = named.get("decoder_layers", default)
    rotary = source.rotary
    sizes = {
        "layers": layers,
        "decoder_layers": decoder_layers,
        "width": width,
        "heads": heads,
        "kv_heads": named.get("kv_heads") or _kv_heads(family, source, heads),
        "head_size": head_size,
        "ffn": named.get("ffn")
        or (source.ffn if width == source.width else scaled_ffn(family, source, width)),
        "rotary": head_size if rotary == source.head_size else rotary,
    }
    return Shape.of("target", sizes)


def _heads(family: Family, source: Shape, named: Mapping[str, int]) -> tuple[int, int]:
    """Return heads and head size."""
    heads, head_size = named.get("heads", source.heads), named.get("head_size", source.head_size)
    width = named.get("width")
    if width is None or source.heads * source.head_size != source.width:
        return heads, head_size
    if "head_size" not in named and "heads" in named:  # larger heads, where those make up the width
        return heads, width // heads if width % heads == 0 else head_size
    if "heads" not in named:
        if width % head_size:
            below, above = width // head_size, max(width // head_size + 1, source.heads)
            choices = [f"width={n * head_size} ({n} heads)" for n in (below, above) if n >= source.heads]
            more = "heads" if "head_size" in named else "heads or head_size"
            raise ShapeError(
                f"width: {width} is no multiple of the head size {head_size}; choose {' or '.join(choices)}, or "
                f"name {more} too"
            )
        return width // head_size, head_size
    return heads, head_size


def _kv_heads(family: Family, source: Shape, heads: int) -> int:
    if "kv_heads" not in family.config:
        return heads
    if heads == source.heads:
        return source.kv_heads
    group = source.heads // source.kv_heads
    if heads % group == 0:
        groups = Groups(source.heads, source.kv_heads, heads, heads // group)
        if source.kv_heads * groups.repeats <= groups.large_kv_heads:
            return groups.large_kv_heads
    return nearest_kv_heads(source.heads, source.kv_heads, heads)
