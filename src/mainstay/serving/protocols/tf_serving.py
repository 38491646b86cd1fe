"""TensorFlow Serving's REST API (https://www.tensorflow.org/tfx/serving/api_rest): predict, status, metadata.

Labels are the model's aliases; `stable` is what takes the traffic. NaN and Infinity are tokens of their own in both
directions, as there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from mainstay.models.answers import Answers
from mainstay.models.tensors import Tensor, plain
from mainstay.serving.bodies import Asked
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import (
    JSON_HEADERS,
    PREDICT,
    READ,
    VERSION_HEADER,
    At,
    Codec,
    Given,
    Headers,
    Need,
    Problem,
    Refusal,
    Reply,
    takes_json,
    version_number,
)
from mainstay.serving.protocols.desk import Desk
from mainstay.serving.protocols.instances import Instances
from mainstay.serving.protocols.outputs import Outputs, with_tokens
from mainstay.serving.strict import BadBody, decoded, kind

Json = dict[str, Any]

_SIGNATURE = "serving_default"
_ROWS, _COLUMNS, _NAME = "instances", "inputs", "signature_name"
_FORMS = 'Send {"instances": [{…}, …]} or {"inputs": {…}}.'
_PATH = re.compile(r"^/v1/models/([^/:]+)(?:/(versions|labels)/([^/:]+))?(:\w+|/metadata)?$")
_DTYPES = {
    "bool": "DT_BOOL",
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "text": "DT_STRING",
    "bytes": "DT_STRING",
}
_COLUMN_DTYPES = {"number": "DT_DOUBLE", "boolean": "DT_BOOL"}
_encode = msgspec.json.Encoder().encode


class PredictCodec:
    """`:predict` of one version."""

    def __init__(self, loaded: Loaded) -> None:
        self._instances, self._outputs = Instances(loaded), Outputs(loaded)
        self._headers: Headers = [*JSON_HEADERS, (VERSION_HEADER, loaded.version)]

    def read(self, body: bytes, headers: Given) -> Asked:
        """The rows of `instances` or `inputs`; the form is whether it was the first."""
        takes_json(headers.get("content-type"))
        document = decoded(body, forms=_FORMS, tokens=True)
        if not isinstance(document, dict):
            raise BadBody(f"The body is {kind(document)}, not an object. {_FORMS}")
        for name in document:
            if name not in (_ROWS, _COLUMNS, _NAME):
                raise BadBody(f"{name!r} is none of {_NAME!r}, {_ROWS!r} and {_COLUMNS!r}.", field=name)
        named = document.get(_NAME)
        if named not in (None, "", _SIGNATURE):
            raise BadBody(
                f"Serving signature {str(named)[:100]!r} does not exist: the only one is {_SIGNATURE!r}.", field=_NAME
            )
        by_row = _ROWS in document
        if by_row == (_COLUMNS in document):
            raise BadBody(f"The body has {'both' if by_row else 'neither'} {_ROWS!r} and {_COLUMNS!r}. {_FORMS}")
        if by_row:
            return Asked(self._instances.rows(document[_ROWS], _ROWS), form=True)
        return Asked(self._instances.columns(document[_COLUMNS], _COLUMNS), form=False)

    def write(self, answers: Answers, asked: Asked, identity: str) -> tuple[Headers, bytes]:
        """`predictions` by row or `outputs` by name; of a single output, its values without the name."""
        arrays = self._outputs.arrays(answers)
        named = {name: plain(array) for name, array in arrays.items()}
        only = next(iter(named.values())) if len(named) == 1 else None
        document: Json
        if not asked.form:
            document = {"outputs": named if only is None else only}
        elif only is None:
            document = {
                "predictions": [dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)]
            }
        else:
            document = {"predictions": only}
        return [*self._headers, ("x-request-id", identity)], with_tokens(document, arrays)


class TfServing:
    """The dialect."""

    name, verb = "tf-serving", ":predict"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def claims(self, path: str) -> bool:
        """What is under /v1/models."""
        return path.startswith("/v1/models/")

    def codecs(self, loaded: Loaded, at: At) -> Mapping[str, Codec]:
        """By the model's name, with its version, and with its labels."""
        codec, base = PredictCodec(loaded), f"/v1/models/{loaded.model}"
        places = [f"{base}/versions/{version_number(loaded)}", *(f"{base}/labels/{label}" for label in at.labels)]
        return {f"{place}{self.verb}": codec for place in ([base] if at.stable else []) + places}

    def need(self, path: str) -> Need | None:
        """A model is read, or asked for predictions."""
        found = _PATH.match(path)
        if found is None:
            return Need(READ)
        return Need(PREDICT if found[4] == self.verb else READ, found[1])

    def takes_body(self, path: str) -> bool:
        """None does."""
        del path
        return False

    def refused(self, refusal: Refusal) -> tuple[Headers, bytes]:
        """`{"error": "…"}`."""
        return JSON_HEADERS, _encode({"error": refusal.message})

    def other(self, method: str, path: str, body: bytes, given: Given) -> Reply:
        """Status and metadata, and why a path that predicts does not."""
        del body, given
        found = _PATH.match(path)
        if found is None:
            raise Problem(400, f"Malformed request: {method[:20]} {path[:200]}")
        name, by, which, verb = found.groups()
        if verb not in (None, self.verb, "/metadata"):
            raise Problem(400, f"Method {verb[:50]!r} is not served here: {self.verb!r} is.")
        predicts = verb == self.verb
        if method not in (("POST",) if predicts else ("GET", "HEAD")):
            allowed = "POST" if predicts else "GET, HEAD"
            raise Problem(405, f"{path[:200]} takes {allowed.split(',', maxsplit=1)[0]}.", headers=[("allow", allowed)])
        document = self._metadata(self._version(name, by, which)) if verb else self._status(name, by, which)
        return Reply(200, JSON_HEADERS, _encode(document))

    def _version(self, name: str, by: str | None, which: str | None) -> Loaded:
        """The version that a path names.

        Raises:
            Problem: 404, in the words of TensorFlow Serving first; 503 where it cannot answer now.
        """
        try:
            if by == "versions":
                return self._desk.version(name, str(which))
            return self._desk.model(name) if by is None else self._desk.labelled(name, str(which))
        except Problem as problem:
            if problem.status != 404:
                raise
            found = f"Specific({name[:100]}, {str(which)[:50]})" if by == "versions" else f"Latest({name[:100]})"
            said = f"Servable not found for request: {found}."
            if by == "labels" and name in self._desk.names:
                said = f"Unrecognized servable version label: {str(which)[:50]}."
            raise Problem(404, f"{said} {problem}") from None

    def _status(self, name: str, by: str | None, which: str | None) -> Json:
        """Of one version, or of all that are deployed."""
        if by is None and name in self._desk.names:
            answering, failing = self._desk.versions(name), self._desk.failing(name)
            numbers = sorted({*answering, *failing}, reverse=True)
            if not numbers:  # its version could not be placed, and nothing else is deployed
                self._desk.missing(name)
            return {"model_version_status": [_state(number, failing.get(number)) for number in numbers]}
        if by == "versions":
            for number, why in self._desk.failing(name).items():
                if str(number) == which:
                    return {"model_version_status": [_state(number, why)]}
        return {"model_version_status": [_state(version_number(self._version(name, by, which)), None)]}

    def _metadata(self, loaded: Loaded) -> Json:
        signature = loaded.signature
        inputs = {
            each.name: _info(each.name, _COLUMN_DTYPES.get(each.type, "DT_STRING"), ()) for each in signature.inputs
        }
        served = {
            "inputs": inputs | dict(_tensors(signature.tensors)),
            "outputs": dict(_tensors(Outputs(loaded).tensors)),
            "method_name": "tensorflow/serving/predict",
        }
        return {
            "model_spec": {"name": loaded.model, "signature_name": "", "version": str(version_number(loaded))},
            "metadata": {"signature_def": {"signature_def": {_SIGNATURE: served}}},
        }


def _state(number: int, why: str | None) -> Json:
    """A version's status; `why` it does not answer, where it does not."""
    if why is None:
        return {"version": str(number), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    said = {"error_code": "UNAVAILABLE", "error_message": why}
    return {"version": str(number), "state": "LOADING", "status": said}


def _tensors(tensors: Iterable[Tensor]) -> Iterable[tuple[str, Json]]:
    for each in tensors:
        yield each.name, _info(each.name, _DTYPES.get(each.dtype, f"DT_{each.dtype.upper()}"), each.shape)


def _info(name: str, dtype: str, shape: tuple[int | str, ...]) -> Json:
    sizes = ["-1", *(str(size) if isinstance(size, int) else "-1" for size in shape)]
    dims = [{"size": size, "name": ""} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": f"{name}:0"}
