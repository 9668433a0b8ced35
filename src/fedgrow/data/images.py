"""Images of any source as one float32 array within 0..1, channels first."""

import io
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from fedgrow.data.rows import refuse
from fedgrow.errors import FedgrowError

CHANNELS = (1, 3, 4)


def images(values: Any, rows: NDArray[np.intp], column: str) -> NDArray[np.float32]:
    """Return images as an array (n, channels, height, width) within 0..1.

    Args:
        values: an array (n, height, width), (n, height, width, channels) or (n, channels, height, width); or,
            one a row, encoded files (bytes, or a dictionary with ``bytes``) or nested lists. Channels are the
            last axis if its length can be theirs. Integers are divided by 255.
        rows: their row numbers in the source, for messages.
        column: the column's name, for messages.

    Raises:
        FedgrowError: an image is null, unreadable, of another size than the first, or not finite within 0..1.
    """
    array = values if np.ndim(values) > 1 else _stack(values, rows, column)
    array = _channels_first(np.asarray(array), column)
    if np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
        scaled = array.astype(np.float32) / np.float32(1 if array.dtype == np.bool_ else 255)
    elif np.issubdtype(array.dtype, np.floating):
        with np.errstate(over="ignore"):  # what overflows is refused below
            scaled = array.astype(np.float32)
    else:
        raise FedgrowError(f"column {column!r} holds {array.dtype}, not pixels")
    flat = scaled.reshape(len(scaled), -1)
    refuse(~np.isfinite(flat).all(1), rows, column, "images that are not finite (NaN or infinity)")
    outside = (flat < 0).any(1) | (flat > 1).any(1)
    refuse(outside, rows, column, "pixels outside 0..1 (floats) or 0..255 (integers)")
    return scaled


def _channels_first(array: NDArray[Any], column: str) -> NDArray[Any]:
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[-1] in CHANNELS:
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in CHANNELS or 0 in array.shape:
        raise FedgrowError(
            f"column {column!r} has shape {array.shape}; expected (n, height, width), (n, height, "
            f"width, channels) or (n, channels, height, width), with {', '.join(map(str, CHANNELS))} channels"
        )
    return np.ascontiguousarray(array)


def _stack(values: Any, rows: NDArray[np.intp], column: str) -> NDArray[Any]:
    cells = pd.Series(values).to_numpy(dtype=object)
    refuse(pd.isna(cells), rows, column, "null images")
    decoded = [_decode(cell, row, column) for row, cell in zip(rows, cells, strict=True)]
    if {image.ndim for image in decoded} == {2, 3}:  # grey and colour mixed
        decoded = [np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image for image in decoded]
    for row, image in zip(rows, decoded, strict=True):
        if image.shape != decoded[0].shape:
            raise FedgrowError(
                f"column {column!r}: the image at row {row} is {image.shape}, the first {decoded[0].shape}; "
                "bring all images to one size"
            )
    return np.stack(decoded)


def _decode(cell: Any, row: int, column: str) -> NDArray[Any]:
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    try:
        if isinstance(cell, bytes):
            return _open(cell)
        if isinstance(cell, list | np.ndarray):
            return np.array(_plain(cell))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FedgrowError(f"column {column!r}: the image at row {row} cannot be read ({error})") from error
    raise FedgrowError(
        f"column {column!r} holds {type(cell).__name__} at row {row}; expected an image: an encoded file "
        "(bytes), a dictionary with 'bytes', or nested lists of pixels"
    )


def _open(data: bytes) -> NDArray[Any]:
    """Decode an image file to 8 bits: (height, width) if it is grey, else (height, width, 3)."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"its pixels have more than 8 bits, Pillow's mode {image.mode}; save it with 8")
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | np.ndarray) else value
