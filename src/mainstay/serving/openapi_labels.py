"""What the OpenAPI document says of labels: the outcomes of what was predicted."""

from __future__ import annotations

from typing import Any

from mainstay.serving.bodies import ID_PATTERN
from mainstay.serving.predictions.bodies import LONGEST, MOST

Json = dict[str, Any]

_LABEL: Json = {
    "type": "object",
    "properties": {
        "id": {
            "type": "string",
            "pattern": ID_PATTERN,
            "description": "The prediction's.",
            "example": "019f1b5e-7c1a-7b7e-9d43-5b1c8f0f6a2e",
        },
        "row": {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1, "default": 0, "description": "From 0."},
        "value": {
            "anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string", "maxLength": LONGEST}],
            "description": "The outcome: one of the model's labels, or a number.",
        },
    },
    "required": ["id", "value"],
    "additionalProperties": False,
}
_SEVERAL: Json = {
    "type": "object",
    "properties": {
        "labels": {"type": "array", "minItems": 1, "maxItems": MOST, "items": {"$ref": "#/components/schemas/Label"}}
    },
    "required": ["labels"],
    "additionalProperties": False,
}
_OUTCOME: Json = {
    "type": "object",
    "properties": {
        "counted": {"type": "integer"},
        "repeated": {"type": "integer", "description": "Counted before; nothing changes."},
        "same_request": {"type": "integer", "description": "Of a request that counts by another of its rows."},
        "unknown": {
            "type": "array",
            "description": "Rows that were not answered here while this rollout ran.",
            "items": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "row": {"type": "integer"}},
                "required": ["id", "row"],
            },
        },
    },
    "required": ["counted", "repeated", "same_request", "unknown"],
}
LABEL_SCHEMAS: Json = {"Label": _LABEL, "Labels": _SEVERAL, "Labelled": _OUTCOME}
_REFUSED = {
    "400": "The body cannot be read, or a value is no label of the model.",
    "404": "No such model is deployed.",
    "409": "No rollout of the model runs, or its answers cannot be told right from wrong.",
    "413": "The body is larger than this server takes.",
    "415": "The body is of another content type, or compressed in another way.",
    "503": "The labels could not be counted now: send them again.",
}


def label_paths(*, alone: bool) -> Json:
    """The paths that take labels; one without a model's name where a single model is deployed."""
    named = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    paths: Json = {"/models/{name}/labels": {"post": {**_post("labels_of_model"), "parameters": [named]}}}
    return {"/labels": {"post": _post("labels")}, **paths} if alone else paths


def _post(operation: str) -> Json:
    body = {"anyOf": [{"$ref": "#/components/schemas/Label"}, {"$ref": "#/components/schemas/Labels"}]}
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    outcome = {"application/json": {"schema": {"$ref": "#/components/schemas/Labelled"}}}
    return {
        "operationId": operation,
        "summary": "Tell the outcomes of predictions, for the rollout that runs",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "What became of the labels", "content": outcome},
            **{code: {"description": said, "content": problem} for code, said in _REFUSED.items()},
        },
    }
