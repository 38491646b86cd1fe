"""The OpenAPI document of what is deployed now: exact to the columns, so that clients can be made from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mainstay.models.signature import Signature
from mainstay.release import release
from mainstay.serving.bodies import ID_PATTERN
from mainstay.serving.models import Loaded
from mainstay.serving.openapi_labels import LABEL_SCHEMAS, label_paths
from mainstay.serving.openapi_protocols import SCHEMAS, paths_beside, paths_of, server_paths
from mainstay.serving.replies import label_key
from mainstay.serving.schemas import aside_of, cells_of, example_of, list_of, object_of, record_of
from mainstay.serving.tensor_schema import tensor_schema

Json = dict[str, Any]

_ERRORS = {
    "400": "The body is not JSON, or a value does not fit the signature; `field` and `row` say where.",
    "404": "No such model is deployed.",
    "405": "Another method is meant.",
    "413": "The body is larger than this server takes, or holds more than it reads at once.",
    "415": "The body is of another content type, or compressed in another way.",
    "429": "Too many requests wait for the model, or come with this key: try again in `Retry-After` seconds.",
    "503": "The model cannot answer now: its host process is starting again.",
    "504": "The time for the request was up before its answer was there.",
}


def document(stable: Iterable[Loaded], versions: Iterable[Loaded]) -> Json:
    """The whole document, of the versions that take traffic and of all that answer."""
    models = sorted(stable, key=lambda each: each.model)
    beside = [each for each in versions if each not in models]
    paths: Json = {}
    if len(models) == 1:
        paths["/predict"] = {"post": _predict(models[0], "predict", "")}
    for each in models:
        base, number = f"/models/{each.model}", each.version.rpartition(":")[2]
        also = f" Also at {base}/versions/{number}/predict."
        paths[f"{base}/predict"] = {"post": _predict(each, f"predict_{each.model}", f" of {each.model}", also)}
        paths |= paths_of(each.model, each.version, signature=each.signature, alone=len(models) == 1)
    for each in beside:
        number = each.version.rpartition(":")[2]
        asked = _predict(each, f"predict_{each.model}_{number}", f" of {each.model} with version {number}")
        paths[f"/models/{each.model}/versions/{number}/predict"] = {"post": asked}
        paths |= paths_beside(each.model, each.version, signature=each.signature)
    paths |= server_paths() | label_paths(alone=len(models) == 1)
    paths |= {
        "/models": {"get": _get("models", "The models that are deployed", _ref("Models"))},
        "/models/{name}": {
            "get": {**_get("model", "A model's signature", _ref("Model")), "parameters": _in_path("name")}
        },
        "/models/{name}/versions/{number}": {
            "get": {
                **_get("version_of_model", "A version's signature", _ref("Model")),
                "parameters": _in_path("name", "number"),
            }
        },
        "/healthz": {"get": _get("healthz", "Whether the process lives", _ref("State"))},
        "/readyz": {"get": _get("readyz", "Whether a model answers", _ref("State"), also="503")},
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "Counters in Prometheus' text format, or in OpenMetrics' to who accepts that",
                "responses": {
                    "200": {
                        "description": "Counters",
                        "content": {
                            kind: {"schema": {"type": "string"}}
                            for kind in ("text/plain", "application/openmetrics-text")
                        },
                    }
                },
            }
        },
    }
    for path in ("/models/{name}", "/models/{name}/versions/{number}"):
        paths[path]["get"]["responses"] |= {code: _problem(code) for code in ("404", "503")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mainstay",
            "version": release(),
            "description": "Predictions of the deployed models. Columns go by name; order never matters there.",
        },
        "paths": paths,
        "components": {"schemas": {**_SCHEMAS, **SCHEMAS, **LABEL_SCHEMAS}},
    }


def _in_path(*names: str) -> list[Json]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _predict(loaded: Loaded, operation: str, of: str, also: str = "") -> Json:
    signature = loaded.signature
    example = example_of(signature)
    return {
        "operationId": operation,
        "summary": f"Predict {signature.target}{of}",
        "description": f"Answered by {loaded.version}. Columns may also be lists, all of one length: a value a row. "
        "Tables are taken as `text/csv` too, and, with the extra `arrow`, as `application/vnd.apache.parquet`, "
        "`application/vnd.apache.arrow.stream` and `application/vnd.apache.arrow.file`; they are written where "
        f"`Accept` asks for them.{also}",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _body(signature),
                    "examples": {
                        "records": {"summary": "Records", "value": {"inputs": [example]}},
                        "named": {"summary": "One row by name", "value": example},
                        "features": {
                            "summary": "Rows of values in the order of the signature",
                            "value": {"features": [list(example.values())]},
                        },
                    },
                }
            },
        },
        "responses": {
            "200": {
                "description": "The answers, a list for several rows and one value for one named row.",
                "content": {"application/json": {"schema": _reply(signature)}},
            },
            **{code: _problem(code) for code in ("400", "404", "413", "415", "429", "503", "504")},
        },
    }


def _body(signature: Signature) -> Json:
    cells, aside = cells_of(signature), aside_of(signature)
    record = record_of(signature)
    columns = object_of({**{name: list_of(cell) for name, cell in cells.items()}, **aside}, cells)
    row = {
        "type": "array",
        "prefixItems": list(cells.values()),
        "minItems": len(cells),
        "maxItems": len(cells),
    }
    identity = {"type": ["string", "null"], "pattern": ID_PATTERN}
    # That the lists are of one length cannot be said here, so of several columns they are left to the description.
    several: list[Json] = [{"title": "A list a column", **columns}] if len(cells) == 1 else []
    records = {"anyOf": [list_of(record), record, *several]}
    wrapped: list[Json] = [
        {"title": "Records", **object_of({"inputs": records, "id": identity}, ["inputs"])},
        {"title": "Rows", **object_of({"features": {"anyOf": [list_of(row), row]}, "id": identity}, ["features"])},
    ]
    clash = {"features", "inputs"} & {*signature.names, *signature.set_aside}
    plain: list[Json] = [{"title": "One row", **record}, list_of(record), *several]
    return {"anyOf": [*([] if clash else wrapped), *plain]}


def _reply(signature: Signature) -> Json:
    kinds = {bool: "boolean", int: "integer", str: "string"}
    # JSON has no word for infinity: a value that overflows is null.
    value: Json = {"type": ["number", "null"], "description": "Null where the model's value is not finite."}
    if signature.outputs:
        value = {"type": "object", "properties": {each.name: tensor_schema(each) for each in signature.outputs}}
    if signature.labels:
        value = {"type": kinds[type(signature.labels[0])], "enum": list(signature.labels)}
    properties: Json = {
        "prediction": {"anyOf": [value, {"type": "array", "items": value}]},
        "model": {"type": "string"},
        "id": {"type": "string"},
    }
    if signature.labels:
        shares = {
            "type": "object",
            "properties": {label_key(label): {"type": ["number", "null"]} for label in signature.labels},
        }
        properties["probabilities"] = {"anyOf": [shares, {"type": "array", "items": shares}]}
    return {"type": "object", "properties": properties, "required": ["prediction", "model", "id"]}


def _get(operation: str, summary: str, schema: Json, *, also: str | None = None) -> Json:
    answer = {"content": {"application/json": {"schema": schema}}}
    responses = {code: {"description": summary, **answer} for code in ("200", also) if code}
    return {"operationId": operation, "summary": summary, "responses": responses}


def _problem(code: str) -> Json:
    return {"description": _ERRORS[code], "content": {"application/json": {"schema": _ref("Problem")}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_SCHEMAS: Json = {
    "Problem": {
        "type": "object",
        "properties": {
            "error": {"type": "string", "description": "One sentence: what is wrong, and the way out."},
            "field": {"type": "string"},
            "row": {"type": "integer", "description": "From 0."},
        },
        "required": ["error"],
    },
    "State": {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]},
    "Models": {
        "type": "object",
        "properties": {
            "models": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "version": {"type": "integer", "description": "The one that takes the traffic."},
                        "versions": {
                            "type": "array",
                            "items": {"type": "integer"},
                            "description": "All that answer, where they are asked for by number.",
                        },
                        "task": {"enum": ["binary", "multiclass", "regression", "general"]},
                    },
                    "required": ["name", "version", "versions", "task"],
                },
            }
        },
        "required": ["models"],
    },
    "Model": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "integer"},
            "signature": {"type": "object"},
            "decision": {"type": ["object", "null"]},
        },
        "required": ["name", "version", "signature", "decision"],
    },
}
