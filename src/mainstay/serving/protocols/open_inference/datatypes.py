"""Datatypes of the protocol, and tensors as bytes.

Bytes are little-endian and row-major; BYTES elements have their length before them, in 4 bytes:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from math import prod

import numpy as np

from mainstay.models.signature import Column
from mainstay.models.tensors import Array, Dtype, Tensor
from mainstay.serving.strict import BadBody

BYTES, BF16 = "BYTES", "BF16"
DTYPES: Mapping[str, Dtype] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    BF16: "float32",  # its upper half
    BYTES: "bytes",
}
_NAMES = {dtype: name for name, dtype in DTYPES.items() if name != BF16} | {"text": BYTES}
_COLUMNS = {"number": "FP64", "boolean": "BOOL"}
_LENGTH = struct.Struct("<I")


def datatype(tensor: Tensor) -> str:
    """The datatype of a tensor."""
    return _NAMES[tensor.dtype]


def column_datatype(column: Column) -> str:
    """The datatype of a table's column: texts are BYTES."""
    return _COLUMNS.get(column.type, BYTES)


def unpacked(name: str, kind: str, shape: tuple[int, ...], raw: memoryview) -> Array:
    """The array of an input's bytes, where they stand, which need not be aligned; of BYTES, an array of objects.

    Raises:
        BadBody: another number of bytes than datatype and shape make.
    """
    if kind == BYTES:
        return _texts(name, shape, raw)
    stored = np.dtype("<u2" if kind == BF16 else DTYPES[kind]).newbyteorder("<")
    expected = prod(shape) * stored.itemsize
    if len(raw) != expected:
        raise BadBody(
            f"Input {name!r} has {len(raw)} bytes of data, but {kind} of shape {list(shape)} takes {expected}.",
            field=name,
        )
    array: Array = np.frombuffer(raw, dtype=stored)
    if kind == BF16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    elif kind == "BOOL" and (bits := array.view(np.uint8)).size and bits.max() > 1:
        raise BadBody(f"Input {name!r} has the byte {int(bits.max())} where BOOL takes 0 or 1.", field=name)
    return array.reshape(shape)


def _texts(name: str, shape: tuple[int, ...], raw: memoryview) -> Array:
    found: list[bytes] = []
    at, end = 0, len(raw)
    while at < end:
        if end - at < _LENGTH.size:
            raise BadBody(f"Input {name!r} ends within the length of element {len(found)}.", field=name)
        size = _LENGTH.unpack_from(raw, at)[0]
        at += _LENGTH.size
        if size > end - at:
            raise BadBody(
                f"Input {name!r} says {size} bytes of element {len(found)}, but {end - at} are left.", field=name
            )
        found.append(bytes(raw[at : at + size]))
        at += size
    if len(found) != prod(shape):
        raise BadBody(
            f"Input {name!r} has {len(found)} elements, but its shape {list(shape)} takes {prod(shape)}.", field=name
        )
    return objects(found).reshape(shape)


def packed(array: Array) -> bytes:
    """An array as bytes; of objects, as BYTES."""
    if array.dtype != object:
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    parts: list[bytes] = []
    for element in array.reshape(-1):
        data = element if isinstance(element, bytes) else str(element).encode()
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def objects(values: Iterable[object]) -> Array:
    """Objects as an array of one axis."""
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array
