"""Tensors in the words of JSON Schema: nested arrays, bytes in base64."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np

from mainstay.models.tensors import BASE64, MAX_EXACT, Image, Tensor

Json = dict[str, Any]
_LARGEST_EXAMPLE = 64
"""Numbers: a larger tensor's example would bury the page."""
_LARGEST_PICTURE = 1 << 20
"""Pixels: up to here a black picture is an example of a few kilobytes."""


def tensor_schema(tensor: Tensor) -> Json:
    """What one row of a tensor looks like; for pictures, an encoded file too."""
    schema = _element(tensor)
    for size in reversed(tensor.shape):
        schema = {"type": "array", "items": schema}
        if isinstance(size, int):
            schema |= {"minItems": size, "maxItems": size}
    schema = {**schema, "description": f"{tensor.told()}."}
    if tensor.image is None:
        return schema
    picture = {**_base64(), "description": f"A PNG or JPEG picture of mode {tensor.image.mode}, of exactly that size."}
    return {"anyOf": [schema, picture]}


def tensor_example(tensor: Tensor) -> Any:
    """A value of one row: of a large tensor a black picture, or else the words for one."""
    sizes = [size if isinstance(size, int) else 1 for size in tensor.shape]
    if int(np.prod(sizes, dtype=np.int64)) > _LARGEST_EXAMPLE:
        return tensor.told() if tensor.image is None else _picture_example(tensor, tensor.image)
    element: Any = {"text": "text", "bytes": {BASE64: "AA=="}, "bool": True}.get(tensor.dtype, 0)
    return np.full(sizes, element, dtype=object).tolist() if sizes else element


def _element(tensor: Tensor) -> Json:
    kind = tensor.numpy.kind
    if tensor.dtype == "text":
        return {"type": "string"}
    if tensor.dtype == "bytes":
        return _base64()
    if kind == "b":
        return {"type": "boolean"}
    if kind == "f":
        bound = min(float(np.finfo(tensor.numpy).max), float(MAX_EXACT))
        return {"type": "number", "minimum": -bound, "maximum": bound}
    limits = np.iinfo(tensor.numpy)
    return {"type": "integer", "minimum": limits.min, "maximum": limits.max}


def _base64() -> Json:
    return {
        "type": "object",
        "properties": {BASE64: {"type": "string", "contentEncoding": "base64"}},
        "required": [BASE64],
        "additionalProperties": False,
    }


def _picture_example(tensor: Tensor, image: Image) -> Json:
    axes = dict(zip(image.layout, map(int, tensor.shape), strict=True))
    width, height = axes["W"], axes["H"]
    small = 0 < width * height <= _LARGEST_PICTURE
    return {BASE64: base64.b64encode(_black(image.mode, width, height)).decode() if small else "a picture in base64"}


def _black(mode: str, width: int, height: int) -> bytes:
    """A PNG of zeros, 8 bits a channel (W3C, Portable Network Graphics, sections 5.3 and 11.2)."""
    colours, channels = {"L": (0, 1), "RGB": (2, 3), "RGBA": (6, 4)}[mode]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    rows = (b"\0" + bytes(width * channels)) * height  # each begins with its filter: none
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
