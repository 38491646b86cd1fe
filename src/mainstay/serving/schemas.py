"""A signature in the words of JSON Schema: cells, and records of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mainstay.models.signature import MAX_EXACT_INTEGER, Column, Signature
from mainstay.serving.tensor_schema import tensor_example, tensor_schema

Json = dict[str, Any]


def cells_of(signature: Signature) -> Json:
    """One row's value of each input, by name."""
    cells = {column.name: cell_of(column, signature) for column in signature.inputs}
    return cells | {tensor.name: tensor_schema(tensor) for tensor in signature.tensors}


def aside_of(signature: Signature) -> Json:
    """What may stand in a record besides."""
    return {name: {"description": "Set aside in training: accepted and ignored."} for name in signature.set_aside}


def record_of(signature: Signature) -> Json:
    """One row by name."""
    cells = cells_of(signature)
    return object_of({**cells, **aside_of(signature)}, cells)


def example_of(signature: Signature) -> Json:
    """One row's values by name."""
    example = {column.name: _example(column) for column in signature.inputs}
    return example | {tensor.name: tensor_example(tensor) for tensor in signature.tensors}


def object_of(properties: Json, required: Iterable[str]) -> Json:
    """An object of these properties and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def list_of(items: Json) -> Json:
    """A list of such."""
    return {"type": "array", "items": items}


def cell_of(column: Column, signature: Signature) -> Json:
    """One value of a column."""
    schema: Json
    match column.type:
        case "number":
            schema = {"type": "number", "minimum": -MAX_EXACT_INTEGER, "maximum": MAX_EXACT_INTEGER}
            if column.minimum is not None and column.maximum is not None:
                schema["description"] = f"Between {column.minimum:g} and {column.maximum:g} in training."
        case "boolean":
            schema = {"type": "boolean"}
        case "category" if column.closed:
            schema = {"type": "string", "enum": list(column.categories)}
        case "category":
            schema = {
                "type": ["string", "integer"],  # an integer stands for its digits
                "description": f"In training: {', '.join(column.categories[:20])}.",
            }
        case "datetime" if column.format == "iso":
            schema = {"type": "string", "format": "date-time", "description": "ISO 8601; without a zone it is UTC."}
        case "datetime":
            schema = {"type": "string", "description": f"A date-time like {column.format}."}
        case _:
            schema = {"type": "string"}
    if column.nullable:
        missing = {"type": ["null", "string"], "enum": [None, *signature.tokens(column)], "description": "Missing."}
        return {"anyOf": [schema, missing]}
    if signature.tokens(column) and schema["type"] != "boolean" and column.type != "number":
        schema["not"] = {"enum": list(signature.tokens(column))}
    return schema


def _example(column: Column) -> Any:
    if column.typical is not None and column.type in ("number", "category", "datetime"):
        return column.typical
    match column.type:
        case "number":
            return column.minimum or 0.0
        case "boolean":
            return True
        case "category":
            return column.categories[0] if column.categories else "text"
        case "datetime":
            return "2026-01-31T12:00:00"
    return "text"
