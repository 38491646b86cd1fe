"""gRPC as the data plane sees it: a protocol with codecs and an error shape, at paths that no HTTP request can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mainstay.serving.grpc.inference import InferCodec
from mainstay.serving.grpc.messages import Messages
from mainstay.serving.grpc.status import trailers
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import (
    MANAGE,
    At,
    Codec,
    Given,
    Headers,
    Need,
    Problem,
    Refusal,
    Reply,
    version_number,
)


def target_path(model: str, version: str = "") -> str:
    """Under which a model, or a version of it, is found: a path of HTTP begins with a slash, and has no blanks."""
    return f"grpc {model} {version}"


def named(message: bytes, read: Callable[[bytes], Any]) -> tuple[str, str]:
    """The model and the version that a `ModelInferRequest` names.

    They are its first two fields, and every library writes them first; where one did not, or where they are long, the
    message is read for them.

    Args:
        message: as it came.
        read: gives the whole message, or raises DecodeError.
    """
    name, at = _text(message, 0, 0x0A)
    version, at = _text(message, at, 0x12)
    if at < 0 or (at < len(message) and message[at] <= 0x12):
        whole = read(message)
        return whole.model_name, whole.model_version
    return name, version


def _text(message: bytes, at: int, tag: int) -> tuple[str, int]:
    """The text of a field that begins here, and where the next begins: -1 where it is none of the common ones."""
    if at < 0 or at + 1 >= len(message) or message[at] != tag:
        return "", at
    end = at + 2 + message[at + 1]
    data = message[at + 2 : end]
    return (data.decode(), end) if end <= len(message) and end - at < 128 and data.isascii() else ("", -1)


class Grpc:
    """The dialect."""

    name, verb = "grpc", " "

    def __init__(self, messages: Messages) -> None:
        self.messages = messages

    def claims(self, path: str) -> bool:
        """Nothing that comes over HTTP."""
        del path
        return False

    def codecs(self, loaded: Loaded, at: At) -> Mapping[str, Codec]:
        """By the model's name and the version; by the name alone where it takes the traffic."""
        codec = InferCodec(loaded, self.messages)
        numbers = (str(version_number(loaded)), *([""] if at.stable else []))
        return {target_path(loaded.model, number): codec for number in numbers}

    def need(self, path: str) -> Need | None:
        """Nothing is there for anybody."""
        del path
        return Need(MANAGE)

    def takes_body(self, path: str) -> bool:
        """Nothing does."""
        del path
        return False

    def other(self, method: str, path: str, body: bytes, given: Given) -> Reply:
        """Nothing is there."""
        del method, body, given
        raise Problem(404, f"There is nothing at {path[:100]}.")

    def refused(self, refusal: Refusal) -> tuple[Headers, bytes]:
        """The status, in trailers."""
        return trailers(refusal), b""
