"""Arrays between sites travel as one, and come out of it as they went in."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from safetensors.numpy import save

from fedgrow.errors import ContractError
from fedgrow.exchange.packing import PACKED, packed, unpacked
from fedgrow.exchange.records import to_record

ARRAYS = {
    ":scale": np.float32([1.5, 0.25]),
    "map/U": np.arange(6, dtype=np.int8).reshape(3, 2),
    "map/V": np.float16([[1, 2, 3]]),
    "none": np.zeros((0, 4), np.int64),
    "wide": np.arange(6, dtype=np.float32).reshape(2, 3),
}


def content(record: ArrayRecord) -> RecordDict:
    return RecordDict({"arrays": record, "config": ConfigRecord({"server-round": 3})})


def test_what_is_packed_comes_out_the_same():
    there = packed(content(to_record(ARRAYS)))
    assert list(there["arrays"]) == [PACKED]
    assert there["arrays"][PACKED].numpy().tobytes() == save(ARRAYS)  # no metadata, and nothing else
    assert there["config"]["server-round"] == 3
    back = unpacked(there)
    assert list(back["arrays"]) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        found = back["arrays"][name].numpy()
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()
    assert dict(back["config"]) == {"server-round": 3}


def test_the_same_arrays_are_the_same_bytes_whatever_their_order():
    turned = ArrayRecord({name: Array(ARRAYS[name]) for name in reversed(ARRAYS)})
    one, other = (packed(content(record))["arrays"][PACKED].data for record in (to_record(ARRAYS), turned))
    assert one == other


def test_nothing_stays_nothing():
    assert not packed(content(ArrayRecord()))["arrays"]
    assert not unpacked(content(ArrayRecord()))["arrays"]


def test_it_takes_fewer_objects_than_arrays():
    counts = [
        sum(1 for _ in _objects(content_))
        for content_ in (content(to_record(ARRAYS)), packed(content(to_record(ARRAYS))))
    ]
    assert counts[0] >= counts[1] + 2 * (len(ARRAYS) - 1)


def _objects(thing):
    yield thing
    for child in (thing.children or {}).values():
        yield from _objects(child)


def bytes_of(data: bytes) -> Array:
    return Array(np.frombuffer(data, np.uint8))


def longer(array: Array) -> Array:
    return Array(array.dtype, array.shape, array.stype, array.data + b"Ann")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (to_record(ARRAYS), "are not packed"),
        (ArrayRecord({PACKED: bytes_of(save(ARRAYS)), "more": bytes_of(b"x")}), "are not packed"),
        (ArrayRecord({PACKED: Array(np.float32([1]))}), r"float32\(1,\), not bytes"),
        (ArrayRecord({PACKED: Array(np.zeros((2, 2), np.uint8))}), r"uint8\(2, 2\), not bytes"),
        (ArrayRecord({PACKED: bytes_of(b"no tensors")}), "are no arrays"),
        (ArrayRecord({PACKED: bytes_of(save(ARRAYS)[:-1])}), "are no arrays"),
        (ArrayRecord({PACKED: bytes_of(save(ARRAYS) + b"x")}), "are no arrays"),
        (ArrayRecord({PACKED: bytes_of(save(ARRAYS, metadata={"name": "Ann"}))}), "hold more than names"),
        (ArrayRecord({PACKED: longer(bytes_of(save(ARRAYS)))}), "hold more than names"),
        (ArrayRecord({PACKED: Array("uint8", (3,), "numpy.ndarray", b"abc")}), "are no arrays"),
    ],
)
def test_what_is_not_packed_so_is_refused(record, said):
    with pytest.raises(ContractError, match=said):
        unpacked(content(record))
