"""The exactness table as data: for every direction of growth, whether a family's function is kept, and by which rule.

``docs/exactness.md`` is generated from it, ``fedgrow inspect`` shows it, and a test walks every family and direction
with random shapes against transformers' own forward pass.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from fedgrow.architectures import Family, Shape
from fedgrow.architectures.configuration import possible_ffn
from fedgrow.growth.initialisers.base import Exactness

Draw = Callable[[int, int], int]  # a whole number between two, both included


@dataclass(frozen=True)
class Direction:
    """One direction of growth.

    Attributes:
        name: what grows.
        applies: whether a family can grow this way.
        exactness: whether its function is kept.
        rule: how.
        grow: makes a larger shape, drawing sizes.
    """

    name: str
    applies: Callable[[Family], bool]
    exactness: Callable[[Family], Exactness]
    rule: Callable[[Family], str]
    grow: Callable[[Family, Shape, Draw], Shape]


@dataclass(frozen=True)
class Cell:
    """One cell of the table: a direction for one family."""

    direction: str
    exactness: Exactness
    rule: str

    def as_dict(self) -> dict[str, str]:
        """Return plain values."""
        return asdict(self)


def cells(family: Family) -> list[Cell]:
    """Return every direction in which a family can grow."""
    return [Cell(d.name, d.exactness(family), d.rule(family)) for d in DIRECTIONS if d.applies(family)]


def _grown(family: Family, shape: Shape, **sizes: int) -> Shape:
    """Return a shape with other sizes; what is tied to them follows."""
    width, ffn = sizes.get("width", shape.width), sizes.get("ffn", shape.ffn)
    sizes["ffn"] = possible_ffn(family, width, ffn)
    if family.rotary and shape.rotary == shape.head_size and "head_size" in sizes:
        sizes["rotary"] = sizes["head_size"]
    if shape.kv_heads == shape.heads and "heads" in sizes:
        sizes.setdefault("kv_heads", sizes["heads"])
    return shape.model_copy(update=sizes)


def _ffn(family: Family, shape: Shape, draw: Draw) -> Shape:
    return _grown(family, shape, ffn=shape.ffn + draw(1, 20))


def _heads(family: Family, shape: Shape, draw: Draw) -> Shape:
    groups = shape.heads // shape.kv_heads
    kv = shape.kv_heads + draw(1, 3)
    heads = kv * groups
    if family.width_divides_heads:  # the width may have to follow
        return _grown(family, shape, heads=heads, kv_heads=kv, width=-(-shape.width // heads) * heads)
    return _grown(family, shape, heads=heads, kv_heads=kv)


def _kv_heads(family: Family, shape: Shape, draw: Draw) -> Shape:
    return _grown(family, shape, kv_heads=shape.heads)


def _head_size(family: Family, shape: Shape, draw: Draw) -> Shape:
    factor = draw(2, 3)
    return _grown(family, shape, head_size=shape.head_size * factor)


def _odd_head_size(family: Family, shape: Shape, draw: Draw) -> Shape:
    more = 2 * draw(1, 5)
    if (shape.head_size + more) % shape.head_size == 0:
        more += 2
    return _grown(family, shape, head_size=shape.head_size + more)


def _whole_width(family: Family, shape: Shape, draw: Draw) -> Shape:
    factor = draw(2, 3)
    if family.free_head_size:
        return _grown(family, shape, width=shape.width * factor)
    more_heads = factor if draw(0, 1) else 1
    return _grown(
        family,
        shape,
        width=shape.width * factor,
        heads=shape.heads * more_heads,
        head_size=shape.head_size * factor // more_heads,
    )


def _odd_width(family: Family, shape: Shape, draw: Draw) -> Shape:
    if family.free_head_size:
        step = shape.heads if family.width_divides_heads else 1
        more = step * draw(1, 5)
        return _grown(
            family, shape, width=shape.width + (more if (shape.width + more) % shape.width else step)
        )
    if draw(0, 1):
        heads = shape.heads + draw(1, 3)
        heads += heads % shape.heads == 0
        return _grown(family, shape, width=heads * shape.head_size, heads=heads)
    size = shape.head_size + (2 if family.rotary else draw(1, 3))
    size += 2 * (size % shape.head_size == 0)
    return _grown(family, shape, width=shape.heads * size, head_size=size)


def _layers(family: Family, shape: Shape, draw: Draw) -> Shape:
    return _grown(family, shape, layers=shape.layers + draw(1, 3))


def _decoder_layers(family: Family, shape: Shape, draw: Draw) -> Shape:
    assert shape.decoder_layers is not None
    return _grown(family, shape, decoder_layers=shape.decoder_layers + draw(1, 3))


def _everything(family: Family, shape: Shape, draw: Draw) -> Shape:
    wide = _whole_width(family, shape, draw) if family.norm == "post" else _odd_width(family, shape, draw)
    for grow in (_heads, _head_size) if family.free_head_size else ():
        wide = grow(family, wide, draw)
    deep = _layers(family, _ffn(family, wide, draw), draw)
    return _decoder_layers(family, deep, draw) if deep.decoder_layers else deep


def _always(family: Family) -> bool:
    return True


def _exact(family: Family) -> Exactness:
    return "exact"


def _deep(family: Family) -> Exactness:
    return "exact" if family.norm == "pre" else "exact up to the norms' epsilon"


def _width_rule(family: Family) -> str:
    if family.norm == "post":
        return "the stream is duplicated and readers read the first copy"
    new = "zero" if family.norm_kind == "rms" else "the mean of the old ones"
    eps = (
        "what writes the stream x sqrt(D2/D1), for epsilon has to stay"
        if family.keeps_eps
        else "epsilon x D1/D2"
    )
    return f"new hidden dimensions are {new}; gains x sqrt(D1/D2); {eps}"


def _heads_rule(family: Family) -> str:
    scale = "queries x sqrt(d2/d1)" if family.scales_queries else "attention is not scaled by the head size"
    if family.norms_heads:
        scale = "q and k projections x sqrt(d2/d1), gains of their norms as RMSNorm's, q's x sqrt(d2/d1)"
    return f"old entries keep their place, new ones are not read; {scale}"


def _coupled(family: Family) -> bool:
    return not family.free_head_size


def _free(family: Family) -> bool:
    return family.free_head_size


DIRECTIONS = (
    Direction(
        "FFN width",
        _always,
        _exact,
        lambda f: (
            "new units may compute anything; nothing reads them yet"
            + ("" if f.ffn_rule == "size" else " (integer ratios to the width only)")
        ),
        _ffn,
    ),
    Direction(
        "heads",
        _free,
        _exact,
        lambda f: (
            "old heads stay inside their group; what new ones compute is not read"
            + ("; the configuration wants a width that heads divide" if f.width_divides_heads else "")
        ),
        _heads,
    ),
    Direction(
        "key-value heads",
        lambda f: "kv_heads" in f.config,
        _exact,
        lambda f: "each is repeated until its query heads fit (refused otherwise, the nearest number named)",
        _kv_heads,
    ),
    Direction(
        "head size, integer multiple",
        _free,
        _exact,
        lambda f: _heads_rule(f) + ("; rotary pair j goes to k x j, same theta" if f.rotary else ""),
        _head_size,
    ),
    Direction(
        "head size, other ratio",
        _free,
        lambda f: "exact to float32 rounding of the rotary frequencies" if f.rotary else "exact",
        lambda f: (
            _heads_rule(f) + ("; rotary pairs stay in place, theta becomes theta^(d2/d1)" if f.rotary else "")
        ),
        _odd_head_size,
    ),
    Direction(
        "width, integer multiple",
        _always,
        _exact,
        lambda f: (
            _width_rule(f)
            + ("" if f.free_head_size else "; with more or larger heads: " + _heads_rule(f))
            + ("; the part of each head that turns keeps its size" if f.rotary and _coupled(f) else "")
        ),
        _whole_width,
    ),
    Direction(
        "width, other ratio",
        _always,
        lambda f: "exact" if f.norm == "pre" else "approximate",
        lambda f: (
            "as for integer multiples"
            if f.norm == "pre"
            else "new entries are the mean of the old ones, also in norms' shifts: under post-norm they are not 0 "
            "after the norm, for its gain stands inside the stream"
        ),
        _odd_width,
    ),
    Direction(
        "layers",
        _always,
        _deep,
        lambda f: (
            "new blocks write nothing into the stream"
            if f.norm == "pre"
            else "new blocks write nothing; the gain and shift before them move to their last norm, the norms between "
            "start as gain 1, shift 0"
        ),
        _layers,
    ),
    Direction(
        "decoder layers",
        lambda f: "decoder_layers" in f.config,
        _deep,
        lambda f: "new blocks write nothing into the stream",
        _decoder_layers,
    ),
    Direction(
        "all together",
        _always,
        lambda f: _deep(f),
        lambda f: "the rules together" + ("" if f.norm == "pre" else "; width by an integer multiple"),
        _everything,
    ),
)
