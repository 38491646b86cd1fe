"""The reflection service, by which tools such as grpcurl learn what can be called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError

from mainstay.serving.grpc.calls import Answer
from mainstay.serving.grpc.messages import HEALTH, INFERENCE, REFLECTIONS, Messages
from mainstay.serving.grpc.status import INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED
from mainstay.serving.http2.hpack import Fields
from mainstay.serving.protocols.codec import Reply


def reflected(messages: Messages, service: str) -> Answer:
    """The answers of one of the reflection services."""
    package = service.rpartition(".")[0]
    asked, told = messages[f"{package}.ServerReflectionRequest"], messages[f"{package}.ServerReflectionResponse"]

    async def answered(message: bytes, fields: Fields, timeout: float | None) -> Reply:
        del fields, timeout
        try:
            request = asked.FromString(message)
        except DecodeError:
            answer = told(error_response=_error(INVALID_ARGUMENT, "The message is no ServerReflectionRequest."))
        else:
            answer = told(valid_host=request.host, original_request=request, **_found(messages, request))
        return Reply(200, [], answer.SerializeToString())

    return answered


def _found(messages: Messages, request: Any) -> Mapping[str, Any]:
    which = request.WhichOneof("message")
    if which == "list_services":
        names = (INFERENCE, HEALTH, *REFLECTIONS)
        return {"list_services_response": {"service": [{"name": name} for name in names]}}
    if which not in ("file_by_filename", "file_containing_symbol"):
        return {"error_response": _error(UNIMPLEMENTED, f"{which or 'Nothing'} is not answered.")}
    wanted = getattr(request, which)
    try:
        find = messages.pool.FindFileByName if which == "file_by_filename" else messages.pool.FindFileContainingSymbol
        file = find(wanted).name
    except KeyError:
        return {"error_response": _error(NOT_FOUND, f"{wanted[:200]} is nothing here.")}
    return {"file_descriptor_response": {"file_descriptor_proto": [messages.files[file]]}}


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error_code": code, "error_message": message}
