"""The other protocols in the OpenAPI document; of several forms of a body, one that a schema can say."""

from __future__ import annotations

from typing import Any

from mainstay.models.signature import Signature
from mainstay.serving.schemas import example_of, list_of, object_of, record_of

Json = dict[str, Any]

_ERRORS = {
    "400": "The body is not of this protocol, or a value does not fit the signature.",
    "404": "No such model or version is deployed.",
    "413": "The body is larger than this server takes.",
    "415": "The body is of another content type.",
    "503": "The model cannot answer now.",
}


def paths_of(model: str, version: str, *, signature: Signature, alone: bool) -> Json:
    """The paths that answer for one version, by protocol."""
    number = version.rpartition(":")[2]
    base = f"/v1/models/{model}"
    tensorflow = {
        "operationId": f"tensorflow_predict_{model}",
        "summary": f"TensorFlow Serving: predict with {version}",
        "description": f"Also at {base}/versions/{number}:predict and {base}/labels/stable:predict; rows in "
        "`instances`, or columns in `inputs`.",
        **_body(
            {
                "instances": list_of(record_of(signature)),
                "signature_name": {"type": ["null", "string"], "enum": [None, "", "serving_default"]},
            },
            ["instances"],
            {"instances": [example_of(signature)]},
        ),
        "responses": _responses("TensorFlowPredictions", "Problem"),
    }
    invocations = {
        "summary": f"MLflow: score with {version}",
        "description": "Takes `dataframe_split`, `dataframe_records`, `instances` and `inputs`, and `text/csv`.",
        **_body(
            {"dataframe_records": list_of(record_of(signature))},
            ["dataframe_records"],
            {"dataframe_records": [example_of(signature)]},
        ),
        "responses": _responses("MLflowPredictions", "MLflowProblem"),
    }
    paths: Json = {
        f"{base}:predict": {"post": tensorflow},
        base: {"get": _get(f"tensorflow_status_{model}", "TensorFlow Serving: the status of what is deployed")},
        f"{base}/metadata": {"get": _get(f"tensorflow_metadata_{model}", "TensorFlow Serving: inputs and outputs")},
        f"/models/{model}/invocations": {"post": {"operationId": f"invocations_{model}", **invocations}},
    }
    if alone:
        paths["/invocations"] = {"post": {"operationId": "invocations", **invocations}}
        paths |= {
            path: {"get": _get(path[1:], f"MLflow: {told}", "text/plain")}
            for path, told in (
                ("/ping", "whether a model answers"),
                ("/health", "whether a model answers"),
                ("/version", "the version of this server"),
            )
        }
    return paths


def _body(properties: Json, required: list[str], example: Json) -> Json:
    schema = object_of(properties, required)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def _responses(answer: str, problem: str) -> Json:
    refused = {
        code: {"description": told, "content": {"application/json": {"schema": _ref(problem)}}}
        for code, told in _ERRORS.items()
    }
    answered = {"description": "The answers.", "content": {"application/json": {"schema": _ref(answer)}}}
    return {"200": answered, **refused}


def _get(operation: str, summary: str, media: str = "application/json") -> Json:
    told = {"description": summary, "content": {media: {"schema": {}}}}
    return {"operationId": operation, "summary": summary, "responses": {"200": told}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS: Json = {
    "TensorFlowPredictions": object_of({"predictions": {"type": "array"}}, ["predictions"]),
    "MLflowPredictions": object_of({"predictions": {"type": ["array", "object"]}}, ["predictions"]),
    "MLflowProblem": object_of(
        {"error_code": {"type": "string"}, "message": {"type": "string"}}, ["error_code", "message"]
    ),
}
