"""Between tensors and Flower's ArrayRecord, in a fixed order of names."""

from collections.abc import Mapping

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from torch import Tensor


def to_record(values: Mapping[str, Tensor | np.ndarray]) -> ArrayRecord:
    """Pack tensors or arrays, sorted by name."""
    arrays = {n: v.detach().numpy() if isinstance(v, Tensor) else v for n, v in values.items()}
    return ArrayRecord({name: Array(np.ascontiguousarray(arrays[name])) for name in sorted(arrays)})


def from_record(record: ArrayRecord) -> dict[str, Tensor]:
    """Unpack into tensors of their own memory, sorted by name."""
    return {name: torch.from_numpy(record[name].numpy().copy()) for name in sorted(record)}
