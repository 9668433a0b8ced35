"""The form in which tensors grow: blocks stacked, gains whole, factors folded into what they multiply.

A family may store a norm's gain less one (Gemma), multiply what is written into the stream by a factor of its own
(DINOv2's LayerScale), or scale attention by the layer's number (GPT-2's options). Growth maps plain gains and plain
weights, so all are undone before it; afterwards gains are stored as the family does, the folded factors of the grown model
are 1, and its options are off (``Stage.config``).
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from fedgrow.architectures import Reading, TensorSpec
from fedgrow.architectures.axes import axis_size, parts
from fedgrow.growth.depth import labels_of


def canonical(reading: Reading, spec: TensorSpec, layer: int | None, get: Callable[[str], Tensor]) -> Tensor:
    """Return one tensor of a model in the form in which it grows.

    Args:
        reading: what the model is.
        spec: the tensor.
        layer: the layer, for a tensor of the blocks.
        get: returns a stored tensor by its full name.
    """
    family = reading.family
    x = get(spec.name if layer is None else spec.name.format(layer=layer))
    labels = labels_of(spec.axes)
    if family.gain_offset and "norm.gain" in labels:
        return x + family.gain_offset
    if "scale.gain" in labels:
        return torch.ones_like(x)
    if reading.folds and layer is not None and "query.out" in labels:
        return _scaled_queries(reading, spec, layer, x)
    factor = family.scaled_by.get(spec.key)
    if factor is None:
        return x
    scale = get(spec.name.removesuffix(spec.key).format(layer=layer) + factor)
    return x * scale.reshape([-1 if label == "stream.out" else 1 for label in spec.axes])


def _scaled_queries(reading: Reading, spec: TensorSpec, layer: int, x: Tensor) -> Tensor:
    """Fold into the queries, also where they are fused with other parts, what the model's settings scale them by."""
    scales = {"by-layer": 1.0 / (layer + 1), "by-head-size": math.sqrt(reading.shape.head_size)}
    times = math.prod(scales[fold] for fold in reading.folds)
    for dim, label in enumerate(spec.axes):
        if "query.out" in parts(label):
            sizes = [axis_size(part, reading.shape) or 0 for part in parts(label)]
            factors = [times if part == "query.out" else 1.0 for part in parts(label)]
            per_row = torch.repeat_interleave(torch.tensor(factors, dtype=x.dtype), torch.tensor(sizes))
            x = x * per_row.reshape([-1 if d == dim else 1 for d in range(x.dim())])
    return x


def stored(reading: Reading, spec: TensorSpec, x: Tensor) -> Tensor:
    """Return a grown tensor as the family stores it."""
    offset = reading.family.gain_offset
    return x - offset if offset and "norm.gain" in labels_of(spec.axes) else x


def stack(reading: Reading, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring a model's tensors into the form in which they grow.

    Block tensors get a leading layer axis, under their ``{layer}`` name.
    """
    stacked = {}
    for spec in reading.specs:
        if spec.block is None:
            stacked[spec.name] = canonical(reading, spec, None, tensors.__getitem__)
        else:
            layers = range(spec.block.layers(reading.shape))
            stacked[spec.name] = torch.stack(
                [canonical(reading, spec, i, tensors.__getitem__) for i in layers]
            )
    return stacked
