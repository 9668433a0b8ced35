"""Constant factors of single tensors: what a family does with embeddings and logits at its width.

They make up for models that multiply embeddings by the root of the width (Gemma), divide logits by it (T5), or read a
tied vocabulary that growth has scaled or duplicated.
"""

import math
from collections.abc import Sequence

from fedgrow.architectures import Reading, TensorSpec
from fedgrow.growth.stage import Stage


def factor(reading: Reading, spec: TensorSpec, stages: Sequence[Stage]) -> float:
    """Return the factor of a grown tensor, over all stages of growth."""
    return math.prod(_factor(reading, spec, stage) for stage in stages)


def _factor(reading: Reading, spec: TensorSpec, stage: Stage) -> float:
    root = math.sqrt(stage.target.width / stage.source.width)
    embeddings = 1.0 / root if stage.family.embeddings_scaled else 1.0
    if spec.part == "body" and spec.axes == ("vocab", "stream.out"):
        return embeddings
    if reading.head is None or spec.part != "body" or spec.key not in stage.family.final_norm:
        return 1.0
    logits = root if reading.scaled_logits else 1.0
    if not reading.tied_head:
        return logits
    copies = stage.source.width / stage.target.width if stage.duplicates else 1.0
    return logits * copies / (stage.stream_scale * embeddings)
