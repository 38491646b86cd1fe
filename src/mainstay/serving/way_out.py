"""The way out of a request, on which the headers of its answer are changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mainstay.serving.protocols.codec import CLOSE, Headers


class Changed:
    """What granian gave for a request; only the answer's headers are others."""

    def __init__(self, proto: Any, change: Callable[[Headers], Headers]) -> None:
        self._proto, self._change = proto, change

    def __call__(self) -> Any:
        return self._proto()

    def __aiter__(self) -> Any:
        return self._proto.__aiter__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._proto, name)

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        self._proto.response_bytes(status, self._change(headers), body)


def closing(headers: Headers) -> Headers:
    """The headers of an answer with which the connection ends."""
    return headers if CLOSE in headers else [*headers, CLOSE]
