"""How a call ended, in gRPC's words: https://grpc.github.io/grpc/core/md_doc_statuscodes.html"""

from __future__ import annotations

from collections.abc import Mapping

from mainstay.serving.protocols.codec import Headers, Refusal

(
    OK,
    CANCELLED,
    UNKNOWN,
    INVALID_ARGUMENT,
    DEADLINE_EXCEEDED,
    NOT_FOUND,
    ALREADY_EXISTS,
    PERMISSION_DENIED,
    RESOURCE_EXHAUSTED,
    FAILED_PRECONDITION,
    ABORTED,
    OUT_OF_RANGE,
    UNIMPLEMENTED,
    INTERNAL,
    UNAVAILABLE,
    DATA_LOSS,
    UNAUTHENTICATED,
) = range(17)

_CODES: Mapping[int, int] = {
    200: OK,
    400: INVALID_ARGUMENT,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: NOT_FOUND,
    405: UNIMPLEMENTED,
    406: INVALID_ARGUMENT,
    408: DEADLINE_EXCEEDED,
    409: FAILED_PRECONDITION,
    413: RESOURCE_EXHAUSTED,
    415: INVALID_ARGUMENT,
    422: INVALID_ARGUMENT,
    429: RESOURCE_EXHAUSTED,
    499: CANCELLED,
    501: UNIMPLEMENTED,
    503: UNAVAILABLE,
    504: DEADLINE_EXCEEDED,
}
"""By the status that HTTP has for the same."""
_KEPT = ("retry-after", "www-authenticate")
"""Headers of a refusal that are metadata too."""
LONGEST_MESSAGE = 2000
"""Octets of a sentence in the trailers: clients take few kilobytes of those."""


def code_of(status: int) -> int:
    """gRPC's code for a status of HTTP."""
    return _CODES.get(status, INTERNAL if status >= 500 else UNKNOWN)


def trailers(refusal: Refusal) -> Headers:
    """A refusal as trailing metadata: code and sentence."""
    said = refusal.message.encode()[:LONGEST_MESSAGE].decode(errors="ignore")
    return [("grpc-status", str(code_of(refusal.status))), ("grpc-message", _escaped(said))]


def metadata(headers: Headers) -> Headers:
    """Of the headers of an answer, what goes in metadata; how long to wait also as gRPC's retries read it."""
    kept = [(name, value) for name, value in headers if name.startswith(("grpc-", "x-")) or name in _KEPT]
    kept += [
        ("grpc-retry-pushback-ms", str(1000 * int(value)))
        for name, value in headers
        if name == "retry-after" and value.isdigit()
    ]
    return kept


def _escaped(text: str) -> str:
    """As `grpc-message` has it: UTF-8, with percent signs for all but printable ASCII."""
    return "".join(
        chr(octet) if 0x20 <= octet <= 0x7E and octet != 0x25 else f"%{octet:02X}" for octet in text.encode()
    )
