"""Pushing products through a map without keeping the products for the backward pass.

Let ``z = W x``. The thin products of a low-rank map need ``V^T z``, but not ``z`` itself: ``V^T z = (V^T W) x``, and ``x``
is kept anyway. The columns ``V`` are the map's *probes*; where there are none, the map is applied as usual.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from fedgrow.growth.maps.base import Map
from fedgrow.growth.maps.joined import Blocks, Chain
from fedgrow.growth.maps.learned import LowRank, add_thin


def probes(m: Map) -> list[Tensor]:
    """Return the columns (small, rank) whose products with ``z`` the map asks for."""
    if isinstance(m, LowRank):
        return [m.down]
    if isinstance(m, Chain):
        found: list[Tensor] = []
        for i, link in enumerate(m.links):
            for probe in probes(link):
                for earlier in reversed(m.links[:i]):
                    probe = earlier.pull(probe, 0)
                found.append(probe)
        return found
    if isinstance(m, Blocks):
        found, begin = [], 0
        for part in m.parts:
            rest = m.small - begin - part.small
            found += [pad(probe, (0, 0, begin, rest)) for probe in probes(part)]
            begin += part.small
        return found
    return []


def apply_probed(m: Map, z: Tensor, thin: Iterator[Tensor]) -> Tensor:
    """Map the last dimension of ``z`` (vectors, small), given its products with the probes, in their order."""
    if isinstance(m, LowRank):
        return add_thin(m.base.apply(z, 1), next(thin), m.up, z)
    if isinstance(m, Chain):
        for link in m.links:
            z = apply_probed(link, z, thin)
        return z
    if isinstance(m, Blocks):
        pieces = z.split([part.small for part in m.parts], 1)
        return torch.cat(
            [apply_probed(part, piece, thin) for part, piece in zip(m.parts, pieces, strict=True)], 1
        )
    return m.apply(z, 1)
