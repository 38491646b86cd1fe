"""`/infer` of one version: a request's envelope in, the answer's out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from mainstay.models.answers import Answers
from mainstay.models.signature import Cells
from mainstay.models.tensors import Array, Tensor
from mainstay.serving.bodies import Asked, valid_id
from mainstay.serving.models import Loaded
from mainstay.serving.patience import seconds_in
from mainstay.serving.protocols.codec import JSON_HEADERS, Headers, kind_of, takes_json, version_number
from mainstay.serving.protocols.codec import Given as GivenHeaders
from mainstay.serving.protocols.open_inference.datatypes import datatype, packed
from mainstay.serving.protocols.open_inference.reading import BASE64, BINARY_SIZE, CONTENT_TYPE, Given, Inputs, Tail
from mainstay.serving.protocols.outputs import Outputs
from mainstay.serving.strict import BadBody, decoded

HEADER_LENGTH = "inference-header-content-length"
_OCTETS: Headers = [("content-type", "application/octet-stream"), ("x-content-type-options", "nosniff")]
LONGEST_HEAD = 8_192
"""Bytes of an envelope that is read in the event loop, whatever stands behind it."""
KEPT_HEAD, KEPT_HEADS = 1_024, 16
"""Bytes of an envelope that is kept as it was read, and how many are: who sends numbers as bytes sends the same
envelope again and again."""
_FORMS = 'Send {"inputs": [{"name": …, "shape": […], "datatype": …, "data": […]}, …]}.'
_encode = msgspec.json.Encoder().encode


class NamesAnother(BadBody):
    """A body names another model or version than the path."""


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """One output that was asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """The envelope."""

    inputs: list[Given]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Wanted] | None = None
    model_name: str | None = None
    """KServe's client repeats here what the path says."""
    model_version: str | None = None


class Form(NamedTuple):
    """How an answer is to look."""

    id: str | None
    outputs: tuple[tuple[str, bool], ...]
    """Names, and whether as bytes."""


class InferCodec:
    """`/infer` of one version."""

    def __init__(self, loaded: Loaded) -> None:
        self._inputs = Inputs(loaded.signature, loaded.bodies)
        self._outputs = Outputs(loaded)
        self._tensors = {tensor.name: tensor for tensor in self._outputs.tensors}
        self._model, self._version = loaded.model, str(version_number(loaded))
        self._heads: dict[bytes, tuple[Request, Form]] = {}

    def read(self, body: bytes, headers: GivenHeaders) -> Asked:
        """The rows of a request."""
        request, form, tail = self._opened(body, headers)
        return _asked(request, form, self._inputs.read(request.inputs, tail))

    def glance(self, body: bytes, headers: GivenHeaders) -> Asked | None:
        """As `read`, of a short envelope with numbers as bytes behind it."""
        length = headers.get(HEADER_LENGTH)
        if length is None or _header_length(length, len(body)) > LONGEST_HEAD:
            return None
        request, form, tail = self._opened(body, headers)
        cells = self._inputs.glance(request.inputs, tail)
        return None if cells is None else _asked(request, form, cells)

    def _opened(self, body: bytes, headers: GivenHeaders) -> tuple[Request, Form, Tail]:
        """The envelope, how its answer is to look, and the bytes behind it."""
        content_type = headers.get("content-type")
        if content_type is None or kind_of(content_type) != "application/octet-stream":
            takes_json(content_type, ("application/octet-stream",))
        length = headers.get(HEADER_LENGTH)
        if length is None:
            return *self._envelope(body), Tail(memoryview(b""))
        size = _header_length(length, len(body))
        head = body[:size]
        found = self._heads.get(head)
        if found is None:
            found = self._envelope(head)
            if size <= KEPT_HEAD:
                if len(self._heads) >= KEPT_HEADS:
                    self._heads.clear()
                self._heads[head] = found
        return *found, Tail(memoryview(body)[size:])

    def _envelope(self, head: bytes) -> tuple[Request, Form]:
        document = decoded(head, forms=_FORMS)
        try:
            request = msgspec.convert(document, Request)
        except msgspec.ValidationError as error:
            raise BadBody(f"The request is not of the protocol: {error}. {_FORMS}") from error
        return request, self._form(request)

    def _form(self, request: Request) -> Form:
        for said, mine in ((request.model_name, self._model), (request.model_version, self._version)):
            if said and said != mine:
                raise NamesAnother(f"The body names {said[:100]!r}, but the path {mine!r}.")
        binary = flag(request.parameters, "binary_data_output", default=False)
        asked = [(each.name, each.parameters or {}) for each in request.outputs or ()]
        return Form(request.id, wanted(asked, self._tensors, binary=binary))

    def write(self, answers: Answers, asked: Asked, identity: str) -> tuple[Headers, bytes]:
        """The answer: JSON, and behind it the outputs that are wanted as bytes."""
        form: Form = asked.form
        written, tail = [], []
        for name, binary in form.outputs:
            tensor, array = self._tensors[name], self._outputs.array(answers, name)
            said: dict[str, Any] = {"name": name, "datatype": datatype(tensor), "shape": list(array.shape)}
            if binary:
                data = packed(array)
                tail.append(data)
                said["parameters"] = {BINARY_SIZE: len(data)}
            else:
                said |= _in_json(tensor, array)
            written.append(said)
        document = _encode(
            {
                "model_name": self._model,
                "model_version": self._version,
                "id": identity if form.id is None else form.id,
                "outputs": written,
            }
        )
        mine = [("x-request-id", identity)]
        if not tail:
            return [*JSON_HEADERS, *mine], document
        return [*_OCTETS, (HEADER_LENGTH, str(len(document))), *mine], b"".join((document, *tail))


def _asked(request: Request, form: Form, cells: Cells) -> Asked:
    identity = request.id if request.id is not None and valid_id(request.id) else None
    timeout = seconds_in((request.parameters or {}).get("timeout"))
    return Asked(cells, id=identity, form=form, timeout=timeout)


def _in_json(tensor: Tensor, array: Array) -> dict[str, Any]:
    flat = array.reshape(-1).tolist()
    if tensor.dtype == "text":
        return {"parameters": {CONTENT_TYPE: "str"}, "data": flat}
    # Bytes are base64 in JSON, as msgspec writes them.
    return {"parameters": {CONTENT_TYPE: BASE64}, "data": flat} if tensor.dtype == "bytes" else {"data": flat}


def _header_length(said: str, body: int) -> int:
    if not (said.isascii() and said.isdigit() and len(said) < 20 and int(said) <= body):
        raise BadBody(f"Inference-Header-Content-Length is {said[:60]!r}, but the body has {body} bytes.")
    return int(said)


def wanted(
    asked: Iterable[tuple[str, Mapping[str, Any]]], known: Mapping[str, Tensor], *, binary: bool
) -> tuple[tuple[str, bool], ...]:
    """The outputs of an answer, and whether each goes as bytes; all of them where none is asked for.

    Args:
        asked: names and parameters.
        known: the outputs that the model has.
        binary: whether what does not say otherwise goes as bytes.

    Raises:
        BadBody: one that is none, one twice, or a parameter that cannot be followed.
    """
    found: dict[str, bool] = {}
    for name, parameters in asked:
        if name not in known:
            listed = ", ".join(map(repr, known))
            raise BadBody(f"Unexpected inference output {name[:100]!r}: the model gives {listed}.", field=name[:100])
        if name in found:
            raise BadBody(f"Output {name!r} is requested twice: ask for each name once.", field=name)
        if "classification" in parameters:
            raise BadBody(f"Output {name!r} is not given as a classification: ask for the tensor.", field=name)
        found[name] = flag(parameters, "binary_data", default=binary)
    return tuple(found.items()) if found else tuple((name, binary) for name in known)


def flag(parameters: Mapping[str, Any] | None, name: str, *, default: bool) -> bool:
    """A parameter that is true or false (else BadBody)."""
    value = (parameters or {}).get(name, default)
    if not isinstance(value, bool):
        raise BadBody(f"Parameter {name!r} is {str(value)[:60]!r}: it takes true or false.", field=name)
    return value
