"""Tensors in the words of JSON Schema: nested arrays, bytes in base64."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.models.tensors import BASE64, MAX_EXACT, Tensor

Json = dict[str, Any]
_LARGEST_EXAMPLE = 64
"""Numbers: a larger tensor's example would bury the page."""


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
    """A value of one row; of a large tensor, the words for one."""
    sizes = [size if isinstance(size, int) else 1 for size in tensor.shape]
    if int(np.prod(sizes, dtype=np.int64)) > _LARGEST_EXAMPLE:
        return {BASE64: "a picture in base64"} if tensor.image else f"{tensor.told()}"
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
