"""Arrays between sites travel as one: Flower carries every array as objects of its own, each by several calls.

The one array holds safetensors (names, types, shapes, values), written anew from arrays that the contract has checked.
"""

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from safetensors.numpy import load, save

from fedgrow.errors import ContractError
from fedgrow.exchange.records import to_record

PACKED = "packed"


def packed(content: RecordDict) -> RecordDict:
    """Return a content whose records of arrays hold one array each; empty ones stay as they are."""
    return RecordDict({name: _packed(r) if isinstance(r, ArrayRecord) else r for name, r in content.items()})


def unpacked(content: RecordDict) -> RecordDict:
    """Return a content as it was before it was packed.

    Raises:
        ContractError: it was not packed, what was packed is damaged, or it holds a byte besides the arrays.
    """
    return RecordDict(
        {name: _unpacked(r) if isinstance(r, ArrayRecord) else r for name, r in content.items()}
    )


def _packed(record: ArrayRecord) -> ArrayRecord:
    if not record:
        return record
    data = save({name: np.asarray(array.numpy(), order="C") for name, array in record.items()})
    return ArrayRecord({PACKED: Array(np.frombuffer(data, np.uint8))})


def _unpacked(record: ArrayRecord) -> ArrayRecord:
    if not record:
        return record
    if set(record) != {PACKED}:
        raise ContractError(f"arrays {sorted(record)[:3]} are not packed")
    try:
        data = record[PACKED].numpy()
        if data.dtype != np.uint8 or data.ndim != 1:
            raise ContractError(f"packed arrays are {data.dtype}{data.shape}, not bytes")
        found = to_record(load(data.tobytes()))
        if _packed(found)[PACKED].data != record[PACKED].data:
            raise ContractError("packed arrays hold more than names, types, shapes and values")
        return found
    except ContractError:
        raise
    except Exception as error:  # NumPy's and safetensors' readers raise what they like at damaged bytes
        raise ContractError("the bytes of packed arrays are no arrays") from error
