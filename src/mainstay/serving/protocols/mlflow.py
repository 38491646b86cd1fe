"""What `mlflow models serve` answers (https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/):
`/invocations`, `/ping`, `/health` and `/version`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mainstay.models.answers import Answers
from mainstay.models.signature import Cells
from mainstay.models.tensors import plain
from mainstay.release import release
from mainstay.serving.bodies import Asked
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import (
    JSON_HEADERS,
    PREDICT,
    READ,
    SERVER,
    VERSION_HEADER,
    At,
    Codec,
    Given,
    Headers,
    Need,
    Problem,
    Refusal,
    Reply,
    kind_of,
    takes_json,
)
from mainstay.serving.protocols.csv_rows import read_csv
from mainstay.serving.protocols.desk import Desk
from mainstay.serving.protocols.instances import Instances
from mainstay.serving.protocols.outputs import PREDICTION, Outputs
from mainstay.serving.strict import BadBody, decoded, kind

_INVOCATIONS, _MODELS = "/invocations", "/models/"
_SPLIT, _RECORDS, _INSTANCES, _INPUTS, _PARAMS = "dataframe_split", "dataframe_records", "instances", "inputs", "params"
_FORMS = 'Send one of {"dataframe_split": {"columns": […], "data": [[…], …]}}, {"dataframe_records": [{…}, …]}, '
_FORMS += '{"instances": […]} and {"inputs": {…}}, or CSV.'
_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""MLflow's names of errors, by status: https://github.com/mlflow/mlflow/blob/master/mlflow/exceptions.py"""
_encode = msgspec.json.Encoder().encode


class InvocationsCodec:
    """`/invocations` of one version."""

    def __init__(self, loaded: Loaded) -> None:
        self._reader, self._outputs = loaded.bodies.reader, Outputs(loaded)
        self._general = bool(loaded.signature.outputs)
        self._headers: Headers = [*JSON_HEADERS, (VERSION_HEADER, loaded.version)]
        instances = Instances(loaded)
        self._forms: Mapping[str, Callable[[Any, str], Cells]] = {
            _SPLIT: self._split,
            _RECORDS: self._records,
            _INSTANCES: instances.rows,
            _INPUTS: instances.columns,
        }

    def read(self, body: bytes, headers: Given) -> Asked:
        """The rows of any of the forms."""
        said = headers.get("content-type")
        if said is not None and kind_of(said) == "text/csv":
            return Asked(read_csv(body, self._reader))
        takes_json(said, ("text/csv",))
        document = decoded(body, forms=_FORMS, tokens=True)
        if not isinstance(document, dict):
            raise BadBody(f"The body is {kind(document)}, not an object. {_FORMS}")
        given = [name for name in document if name != _PARAMS]
        for name in given:
            if name not in self._forms:
                raise BadBody(f"{name[:100]!r} is no form of rows. {_FORMS}", field=name)
        if document.get(_PARAMS):
            raise BadBody(f"{_PARAMS!r} is not taken: this model has no parameters.", field=_PARAMS)
        if len(given) != 1:
            raise BadBody(f"The body has {len(given)} forms of rows: it takes one. {_FORMS}")
        return Asked(self._forms[given[0]](document[given[0]], given[0]))

    def write(self, answers: Answers, asked: Asked, identity: str) -> tuple[Headers, bytes]:
        """`{"predictions": […]}`: the labels, the values, or a general model's outputs by name."""
        del asked
        arrays = self._outputs.arrays(answers)
        said: Any = {name: plain(array) for name, array in arrays.items()} if self._general else None
        document = {"predictions": plain(arrays[PREDICTION]) if said is None else said}
        return [*self._headers, ("x-request-id", identity)], _encode(document)

    def _records(self, rows: Any, where: str) -> Cells:
        if not isinstance(rows, list):
            raise BadBody(f"{where!r} is {kind(rows)}: it takes a list of records.", field=where)
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise BadBody(f"Row {number} of {where!r} is {kind(row)}, not a record.", field=where, row=number)
        return self._reader.rows(rows)

    def _split(self, frame: Any, where: str) -> Cells:
        if not isinstance(frame, dict):
            raise BadBody(f"{where!r} is {kind(frame)}: it takes an object with columns and data.", field=where)
        names, rows = frame.get("columns"), frame.get("data")
        for name in frame:
            if name not in ("columns", "data", "index"):
                raise BadBody(f"{where!r} has {name[:100]!r}: it takes columns, data and index.", field=where)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadBody(f"{where!r} needs columns, a list of names.", field="columns")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadBody(f"Column {twice!r} stands twice in {where!r}: send each once.", field=twice)
        if not isinstance(rows, list):
            raise BadBody(f"{where!r} needs data, a list of rows.", field="data")
        for number, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != len(names):
                found = f"{len(row)} values" if isinstance(row, list) else kind(row)
                raise BadBody(f"Row {number} of {where!r} is {found}, not a list of {len(names)}.", row=number)
        return self._reader.columns({name: [row[index] for row in rows] for index, name in enumerate(names)})


class Mlflow:
    """The dialect."""

    name, verb = "mlflow", _INVOCATIONS

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def claims(self, path: str) -> bool:
        """The paths of MLflow's server, and /models/NAME/invocations."""
        return path in ("/ping", "/health", "/version") or path.endswith(_INVOCATIONS)

    def codecs(self, loaded: Loaded, at: At) -> Mapping[str, Codec]:
        """By the model's name, and without it where it is the only one; MLflow has no paths for versions."""
        if not at.stable:
            return {}
        codec = InvocationsCodec(loaded)
        named: dict[str, Codec] = {f"{_MODELS}{loaded.model}{_INVOCATIONS}": codec}
        return {**named, _INVOCATIONS: codec} if at.alone else named

    def need(self, path: str) -> Need | None:
        """Nothing for health."""
        if path in ("/ping", "/health"):
            return None
        if path == "/version":
            return Need(READ, SERVER)
        named = path.startswith(_MODELS)
        return Need(PREDICT, path[len(_MODELS) : -len(_INVOCATIONS)] if named else None)

    def takes_body(self, path: str) -> bool:
        """None does."""
        del path
        return False

    def refused(self, refusal: Refusal) -> tuple[Headers, bytes]:
        """`{"error_code": "BAD_REQUEST", "message": "…"}`."""
        code = _CODES.get(refusal.status, "BAD_REQUEST")
        return JSON_HEADERS, _encode({"error_code": code, "message": refusal.message})

    def other(self, method: str, path: str, body: bytes, given: Given) -> Reply:
        """Health and version, and why a path that predicts does not."""
        del body, given
        if path.endswith(_INVOCATIONS):
            if method != "POST":
                raise Problem(405, f"{path[:200]} takes POST.", headers=[("allow", "POST")])
            if path == _INVOCATIONS:
                self._desk.unnamed(lambda name: f"{_MODELS}{name}{_INVOCATIONS}")
            if not path.startswith(_MODELS):
                raise Problem(404, f"There is nothing at {path[:100]}: a model answers at {_MODELS}NAME{_INVOCATIONS}.")
            self._desk.missing(path[len(_MODELS) : -len(_INVOCATIONS)])
        if method not in ("GET", "HEAD"):
            raise Problem(405, f"{path} takes GET.", headers=[("allow", "GET, HEAD")])
        text: Headers = [("content-type", "text/plain; charset=utf-8")]
        if path == "/version":
            return Reply(200, text, release().encode())
        return Reply(200 if self._desk.ready else 503, text, b"\n")
