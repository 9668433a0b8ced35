"""Linear maps of shape (large, small) along one axis, applied as what they are.

A map acts on a chosen dimension of a tensor; its transpose *pulls* that dimension back from large to small. ``Matrix``
is a plain product; ``Selection`` is a gather with a scale; ``LowRank`` adds two thin products to a structured map;
``Topped`` keeps structured rows and takes the new ones from a product; ``NextLayer`` takes new rows from the layer
above; ``Chain`` applies one map after another; ``Blocks`` lays several maps one after the other for a fused dimension
(GPT-2's q, k and v), ``Interleaved`` lets them alternate head by head (GPT-NeoX's).
"""

from fedgrow.growth.maps.base import Map
from fedgrow.growth.maps.composing import compose, layered, over_tensors, tensors
from fedgrow.growth.maps.joined import Blocks, Chain, Interleaved
from fedgrow.growth.maps.learned import LowRank, Matrix, Topped, lengthwise
from fedgrow.growth.maps.selection import NextLayer, Selection

__all__ = [
    "Blocks",
    "Chain",
    "Interleaved",
    "LowRank",
    "Map",
    "Matrix",
    "NextLayer",
    "Selection",
    "Topped",
    "compose",
    "layered",
    "lengthwise",
    "over_tensors",
    "tensors",
]
