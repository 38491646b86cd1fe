"""`ModelInfer` of one version: a request's message in, the answer's out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from mainstay.models.answers import Answers
from mainstay.models.tensors import Array, Dtype, Tensor
from mainstay.models.tensors import read as read_tensor
from mainstay.serving.bodies import Asked, valid_id
from mainstay.serving.grpc.messages import Messages
from mainstay.serving.models import Loaded
from mainstay.serving.patience import seconds_in
from mainstay.serving.protocols.codec import Given, Headers, version_number
from mainstay.serving.protocols.open_inference.datatypes import BYTES, DTYPES, datatype, objects, packed, unpacked
from mainstay.serving.protocols.open_inference.inference import flag, wanted
from mainstay.serving.protocols.open_inference.reading import Inputs, checked_shape, debased, is_base64, once
from mainstay.serving.protocols.outputs import Outputs
from mainstay.serving.strict import BadBody

_FIELDS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""Where a tensor's elements are, by its datatype; those of 16 bits are raw alone."""
_WIDE: Mapping[str, Dtype] = {"int_contents": "int32", "uint_contents": "uint32"}
_SHARED = "shared_memory_region"


def request_of(messages: Messages) -> Callable[[bytes], Any]:
    """Reads a `ModelInferRequest`; what is none is a BadBody."""
    read = messages["ModelInferRequest"].FromString

    def request(body: bytes) -> Any:
        try:
            return read(body)
        except DecodeError as error:
            raise BadBody(f"The message is no ModelInferRequest: {error}.") from error

    return request


class Form(NamedTuple):
    """How an answer is to look."""

    id: str
    outputs: tuple[str, ...]
    raw: bool


class InferCodec:
    """`ModelInfer` of one version."""

    def __init__(self, loaded: Loaded, messages: Messages) -> None:
        self._inputs = Inputs(loaded.signature, loaded.bodies)
        self._outputs = Outputs(loaded)
        self._tensors = {tensor.name: tensor for tensor in self._outputs.tensors}
        self._model, self._version = loaded.model, str(version_number(loaded))
        self._read, self._reply = request_of(messages), messages["ModelInferResponse"]
        self._only_raw = any(datatype(tensor) not in _FIELDS for tensor in self._outputs.tensors)
        self._all = tuple(self._tensors)

    def read(self, body: bytes, headers: Given) -> Asked:
        """The rows of a request."""
        del headers
        request = self._read(body)
        if request.model_name != self._model or request.model_version not in ("", self._version):
            raise BadBody("The message names its model, or its version, twice: name each once.")
        raws = request.raw_input_contents
        inputs = request.inputs
        if raws and len(raws) != len(inputs):
            raise BadBody(f"The request has {len(inputs)} inputs, but {len(raws)} raw_input_contents: one an input.")
        arrays: dict[str, Array] = {}
        for at, given in enumerate(inputs):
            name = given.name
            once(name, arrays)
            arrays[name] = _array(given, name, raws[at] if raws else None)
        parameters = said(request.parameters) if request.parameters else {}
        form = self._form(request, parameters, raw=bool(raws))
        identity, timeout = form.id if valid_id(form.id) else None, seconds_in(parameters.get("timeout"))
        return Asked(self._inputs.cells(arrays), id=identity, form=form, timeout=timeout)

    def _form(self, request: Any, parameters: Mapping[str, Any], *, raw: bool) -> Form:
        raw = flag(parameters, "binary_data_output", default=raw) or self._only_raw
        if not request.outputs:
            return Form(request.id, self._all, raw)
        asked = []
        for output in request.outputs:
            parameters = said(output.parameters)
            if _SHARED in parameters:
                raise BadBody(f"Output {output.name!r} is wanted in shared memory: that is not offered.")
            asked.append((output.name, parameters))
        chosen = wanted(asked, self._tensors, binary=raw)
        ways = {binary for _, binary in chosen}
        if len(ways) > 1:
            raise BadBody("Some outputs are wanted raw and some are not: an answer has all of them one way.")
        return Form(request.id, tuple(name for name, _ in chosen), self._only_raw or True in ways)

    def write(self, answers: Answers, asked: Asked, identity: str) -> tuple[Headers, bytes]:
        """The answer's message."""
        form: Form = asked.form
        arrays = self._outputs.arrays(answers)
        reply = self._reply(model_name=self._model, model_version=self._version, id=form.id or identity)
        for name in form.outputs:
            tensor, array = self._tensors[name], arrays[name]
            kind = datatype(tensor)
            output = reply.outputs.add(name=name, datatype=kind, shape=array.shape)
            if form.raw:
                reply.raw_output_contents.append(packed(array))
            else:
                getattr(output.contents, _FIELDS[kind]).extend(_elements(array))
        return [("x-request-id", identity)], reply.SerializeToString()


def _array(given: Any, name: str, raw: bytes | None) -> Array:
    """What one input says, as an array of its shape."""
    kind = given.datatype
    shape = checked_shape(name, kind, given.shape)
    base64ed = False
    if given.parameters:
        parameters = said(given.parameters)
        if _SHARED in parameters:
            raise BadBody(f"Input {name!r} is in shared memory: send its data in the request.", field=name)
        base64ed = is_base64(name, parameters)
    if raw is None:
        array = _typed(given, name, kind, shape)
    elif given.HasField("contents"):
        raise BadBody(f"Input {name!r} has both contents and raw_input_contents: send one of them.", field=name)
    else:
        array = unpacked(name, kind, shape, memoryview(raw))
    return debased(name, array) if base64ed and array.dtype == object else array


def _typed(given: Any, name: str, kind: str, shape: tuple[int, ...]) -> Array:
    field = _FIELDS.get(kind)
    if field is None:
        raise BadBody(f"Input {name!r} has the datatype {kind}, which goes in raw_input_contents alone.", field=name)
    contents = given.contents
    elements = getattr(contents, field)
    if len(elements) != prod(shape):
        others = [each.name for each, _ in contents.ListFields() if each.name != field]
        hint = f" Its data are in {others[0]}." if others else ""
        raise BadBody(
            f"Input {name!r} has {len(elements)} elements in {field}, but {kind} of shape {list(shape)} takes "
            f"{prod(shape)}.{hint}",
            field=name,
        )
    if kind == BYTES:
        return objects(elements).reshape(shape)
    dtype = DTYPES[kind]
    if _WIDE.get(field, dtype) == dtype:
        return np.array(elements, dtype=dtype).reshape(shape)
    wide = np.array(elements, dtype=_WIDE[field]).reshape(shape)
    return read_tensor(Tensor(name=name, dtype=dtype, shape=shape[1:]), wide)  # it says what does not fit


def _elements(array: Array) -> list[Any]:
    flat: list[Any] = array.reshape(-1).tolist()
    if array.dtype != object:
        return flat
    return [each if isinstance(each, bytes) else str(each).encode() for each in flat]


def said(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as plain values."""
    found = {}
    for name, parameter in parameters.items():
        which = parameter.WhichOneof("parameter_choice")
        found[name] = None if which is None else getattr(parameter, which)
    return found
