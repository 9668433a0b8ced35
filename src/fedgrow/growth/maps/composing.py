"""What is done with maps as wholes: multiply them out or not, find and replace their learned arrays."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from fedgrow.growth.maps.base import Map
from fedgrow.growth.maps.joined import Chain, Fused
from fedgrow.growth.maps.learned import LowRank, Matrix, Topped
from fedgrow.growth.maps.selection import NextLayer, Selection


def layered(m: Map) -> bool:
    """Whether a map treats each layer of a stack differently, so that it is no matrix on one axis."""
    if isinstance(m, Matrix):
        return m.weight.dim() == 3
    if isinstance(m, LowRank):
        return layered(m.base)
    if isinstance(m, Fused):
        return any(layered(part) for part in m.parts)
    return isinstance(m, NextLayer)


def compose(maps: Sequence[Map], vectors: int = 1 << 40) -> Map:
    """Compose maps that act one after another, the first one nearest to the small axis.

    The product is multiplied out where that costs less than applying one map after another. Forward and
    backward together, a product with a constant costs two multiplications, one between two learned things
    three.

    Args:
        maps: the maps; per-layer ones cannot be composed.
        vectors: how many vectors the composed map will be applied to; default: a great many.
    """
    links = tuple(m for m in maps if not (isinstance(m, Selection) and m.is_identity)) or tuple(maps[:1])
    if len(links) == 1:
        return links[0]
    chain = Chain(links)
    one_by_one = vectors * (2 * links[0].cost + 3 * sum(link.cost for link in links[1:]))
    multiplied_out = (
        3 * links[0].small * sum(link.cost for link in links[1:]) + 2 * vectors * chain.large * chain.small
    )
    return Matrix(chain.dense()) if multiplied_out < one_by_one else chain


def over_tensors(m: Map, change: Callable[[Tensor], Tensor]) -> Map:
    """Return a map of the same structure whose learned arrays went through ``change``, in a fixed order."""
    if isinstance(m, Matrix):
        return Matrix(change(m.weight))
    if isinstance(m, LowRank):
        return LowRank(over_tensors(m.base, change), change(m.up), change(m.down))
    if isinstance(m, Topped):
        return replace(m, rows=change(m.rows))
    if isinstance(m, Chain):
        return Chain(tuple(over_tensors(link, change) for link in m.links))
    if isinstance(m, Fused):
        return replace(m, parts=tuple(over_tensors(part, change) for part in m.parts))
    return m


def tensors(m: Map) -> list[Tensor]:
    """Return a map's learned arrays, in the order of ``over_tensors``."""
    if isinstance(m, Matrix):
        return [m.weight]
    if isinstance(m, LowRank):
        return [*tensors(m.base), m.up, m.down]
    if isinstance(m, Topped):
        return [m.rows]
    inner = m.links if isinstance(m, Chain) else m.parts if isinstance(m, Fused) else ()
    return [array for part in inner for array in tensors(part)]
