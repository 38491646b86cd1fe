"""What the OpenAPI document says of a server that asks for keys."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

HEALTH = frozenset(("/healthz", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"))
"""Everybody may ask for these."""
_SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, `Authorization: Bearer msk_…`."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same, `X-API-Key: msk_…`."},
}
_REFUSED = {
    "401": "No API key was sent, or none that is known here.",
    "403": "The API key is for other models, or for other verbs.",
    "429": "Too many requests come with this API key: try again in `Retry-After` seconds.",
}


def with_keys(document: Json) -> Json:
    """The description of a server whose callers need keys."""
    paths = {
        path: {verb: _open(said) if path in HEALTH else _closed(said) for verb, said in operations.items()}
        for path, operations in document["paths"].items()
    }
    components = {**document["components"], "securitySchemes": _SCHEMES}
    security: list[Json] = [{name: []} for name in _SCHEMES]
    return {**document, "paths": paths, "components": components, "security": security}


def _open(operation: Json) -> Json:
    return {**operation, "security": []}


def _closed(operation: Json) -> Json:
    refused = {code: {"description": told} for code, told in _REFUSED.items()}
    return {**operation, "responses": {**refused, **operation["responses"]}}
