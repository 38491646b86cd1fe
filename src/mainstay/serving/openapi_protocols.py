"""The other protocols in the OpenAPI document; of several forms of a body, one that a schema can say."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from mainstay.models.signature import Column, Signature
from mainstay.serving.protocols.open_inference.datatypes import column_datatype, datatype
from mainstay.serving.schemas import cell_of, example_of, list_of, object_of, record_of

Json = dict[str, Any]

_ERRORS = {
    "400": "The body is not of this protocol, or a value does not fit the signature.",
    "404": "No such model or version is deployed.",
    "413": "The body is larger than this server takes, or holds more than it reads at once.",
    "415": "The body is of another content type, or compressed in another way.",
    "429": "Too many requests wait for the model, or come with this key: try again in `Retry-After` seconds.",
    "503": "The model cannot answer now.",
    "504": "The time for the request was up before its answer was there.",
}


_CONTROL_ERRORS = {
    "400": "It cannot be loaded so.",
    "401": "No API key, or a wrong one.",
    "403": "The API key is not for this.",
    "404": "No such model is registered.",
    "409": "No version passed its gates or came up, or somebody else changed it meanwhile.",
    "503": "A server did not acknowledge in time.",
}


def paths_of(model: str, version: str, *, signature: Signature, alone: bool) -> Json:
    """The paths that answer for the version that takes a model's traffic, by protocol."""
    number = version.rpartition(":")[2]
    base = f"/v1/models/{model}"
    also = f"Also at {base}/versions/{number}:predict and {base}/labels/stable:predict, or the name of an alias; "
    tensorflow = _tensorflow(f"tensorflow_predict_{model}", version, signature, also)
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
    paths |= _open_inference(model, version, signature)
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


def paths_beside(model: str, version: str, *, signature: Signature) -> Json:
    """The paths that answer for a version beside, by protocol; MLflow has none."""
    number = version.rpartition(":")[2]
    tensorflow = _tensorflow(f"tensorflow_predict_{model}_{number}", version, signature, "")
    infer = _infer(f"infer_{model}_{number}", version, signature, "")
    base = f"/v2/models/{model}/versions/{number}"
    return {
        f"/v1/models/{model}/versions/{number}:predict": {"post": tensorflow},
        f"{base}/infer": {"post": infer},
        **_documents(base, f"{model}_{number}"),
    }


def _tensorflow(operation: str, version: str, signature: Signature, also: str) -> Json:
    return {
        "operationId": operation,
        "summary": f"TensorFlow Serving: predict with {version}",
        "description": f"{also}{'r' if also else 'R'}ows in `instances`, or columns in `inputs`.",
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


def _open_inference(model: str, version: str, signature: Signature) -> Json:
    base, number = f"/v2/models/{model}", version.rpartition(":")[2]
    infer = _infer(f"infer_{model}", version, signature, f"Also at {base}/versions/{number}/infer. ")
    return {f"{base}/infer": {"post": infer}, **_documents(base, model)}


def _documents(base: str, called: str) -> Json:
    return {
        base: {"get": _get(f"metadata_{called}", "Open Inference Protocol: inputs and outputs")},
        f"{base}/ready": {"get": _get(f"ready_{called}", "Open Inference Protocol: whether it answers")},
        f"{base}/stats": {"get": _get(f"stats_{called}", "Open Inference Protocol: statistics")},
        f"{base}/config": {"get": _get(f"config_{called}", "Open Inference Protocol: the configuration, as Triton's")},
    }


def _infer(operation: str, version: str, signature: Signature, also: str) -> Json:
    columns = {each.name: _input(each.name, column_datatype(each), _cell(each, signature)) for each in signature.inputs}
    columns |= {each.name: _input(each.name, datatype(each), {}) for each in signature.tensors}
    one_row = {
        "type": "array",
        "prefixItems": list(columns.values()),
        "minItems": len(columns),
        "maxItems": len(columns),
        "description": "One row here; the first size of each shape is the number of rows.",
    }
    example = [
        {
            **{name: said["const"] for name, said in columns[name]["properties"].items() if "const" in said},
            "data": [value],
        }
        for name, value in example_of(signature).items()
    ]
    return {
        "operationId": operation,
        "summary": f"Open Inference Protocol: infer with {version}",
        "description": f"{also}An input a column, in any order; tensors as bytes with "
        "`Inference-Header-Content-Length`, both ways.",
        **_body({"inputs": one_row, "id": {"type": ["string", "null"]}}, ["inputs"], {"inputs": example}),
        "responses": _responses("Inference", "Problem"),
    }


def server_paths() -> Json:
    """The paths of protocols that speak of the server as a whole."""
    gets = (
        ("/v2", "server_metadata", "the server"),
        ("/v2/health/live", "live", "whether the process lives"),
        ("/v2/health/ready", "ready", "whether a model answers"),
        ("/v2/models/stats", "stats", "statistics of all models"),
    )
    paths: Json = {path: {"get": _get(name, f"Open Inference Protocol: {told}")} for path, name, told in gets}
    index = _get("repository_index", "Open Inference Protocol: the models of the registry, and which versions answer")
    paths["/v2/repository/index"] = {"post": index}
    for verb, told in (
        ("load", "deploy a model's newest version that passed its gates, where none is deployed"),
        ("unload", "end the serving of a model, with all its versions"),
    ):
        asked = _get(f"repository_{verb}", f"Open Inference Protocol: {told}")
        asked["description"] = "Takes an API key with the verb `manage`; answers when all workers have acknowledged."
        asked["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
        asked["responses"] |= {
            code: {"description": why, "content": {"application/json": {"schema": _ref("Problem")}}}
            for code, why in _CONTROL_ERRORS.items()
        }
        paths[f"/v2/repository/models/{{name}}/{verb}"] = {"post": asked}
    return paths


def _input(name: str, kind: str, cell: Json) -> Json:
    """One input of one row; a tensor's own sizes are not said."""
    properties: Json = {"name": {"const": name}, "datatype": {"const": kind}, "shape": {"const": [1]}}
    if not cell:
        properties["shape"] = {"type": "array", "items": {"type": "integer"}}
        return object_of({**properties, "data": {"type": "array"}}, [*properties, "data"])
    data = {"type": "array", "items": cell, "minItems": 1, "maxItems": 1}
    return object_of({**properties, "data": data}, [*properties, "data"])


def _cell(column: Column, signature: Signature) -> Json:
    """A value as its datatype has it: numbers, truths or texts, and null where it may be missing."""
    plain = cell_of(structs.replace(column, nullable=False), signature)
    if plain.get("type") == ["string", "integer"]:
        plain["type"] = "string"
    if not column.nullable:
        return plain
    plain.pop("not", None)  # a text that means "missing" is as good as null here
    return {"anyOf": [plain, {"type": "null"}]}


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
    "Inference": object_of(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": {"type": "object"}},
        },
        ["model_name", "model_version", "id", "outputs"],
    ),
    "TensorFlowPredictions": object_of({"predictions": {"type": "array"}}, ["predictions"]),
    "MLflowPredictions": object_of({"predictions": {"type": ["array", "object"]}}, ["predictions"]),
    "MLflowProblem": object_of(
        {"error_code": {"type": "string"}, "message": {"type": "string"}}, ["error_code", "message"]
    ),
}
