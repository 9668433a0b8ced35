"""The forms in which an array could travel: what searches of messages and captured traffic look for."""

import numpy as np
import torch
from torch import Tensor

from fedgrow.exchange.compression import COMPRESSIONS

FEWEST = 8  # different values of an array, and bytes of a form: fewer may be anything


def forms(tensor: Tensor) -> dict[str, bytes]:
    """Return an array's bytes as every compression writes it, by kind; nothing of an array at a plain start."""
    if len(np.unique(tensor.numpy())) <= FEWEST:  # ones, zeros, one-hot rows: known to everyone
        return {}
    found = {}
    for name, kind in COMPRESSIONS.items():
        if "" in kind.parts:
            found[name] = kind().encode(tensor.float())[""].contiguous().view(torch.uint8).numpy().tobytes()
    return {
        name: written for name, written in found.items() if len(set(written)) > 4 and len(written) >= FEWEST
    }
