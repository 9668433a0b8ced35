"""Several participants' examples in one place."""

from collections.abc import Sequence

import numpy as np

from fedgrow.data.examples import Examples, Inputs
from fedgrow.errors import FedgrowError


def joined(parts: Sequence[Examples]) -> Examples:
    """Put examples one after the other, without their further columns.

    Raises:
        FedgrowError: they are images of different sizes.
    """
    one_size(parts)
    inputs: Inputs
    if isinstance(parts[0].inputs, list):
        inputs = [value for part in parts for value in part.inputs]  # type: ignore[assignment]  # one kind throughout
    else:
        inputs = np.concatenate([part.images for part in parts])
    labels = None
    if parts[0].labels is not None:
        labels = [label for part in parts for label in part.labels or ()]
    return Examples(inputs, labels)


def one_size(parts: Sequence[Examples]) -> None:
    """Refuse images of different sizes; other examples have none.

    Raises:
        FedgrowError: there are such.
    """
    sizes = {part.images.shape[1:] for part in parts if not isinstance(part.inputs, list)}
    if len(sizes) > 1:
        found = ", ".join(" x ".join(map(str, size)) for size in sorted(sizes))
        raise FedgrowError(
            f"images of different sizes ({found}; channels, height, width) cannot be put in one place; "
            "bring all participants' images to one size"
        )
