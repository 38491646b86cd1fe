"""What a protocol is to the server: codecs for the paths that predict, documents for the others, an error shape."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.registry.records import KeyVerb
from mainstay.serving.bodies import Asked
from mainstay.serving.models import Loaded
from mainstay.serving.predictions.messages import Labels

Headers = list[tuple[str, str]]

VERSION_HEADER = "x-model"
"""Names the version that answered, "credit:3", where a protocol's body has no room for it."""
JSON_HEADERS: Headers = [("content-type", "application/json"), ("x-content-type-options", "nosniff")]
PREDICT: KeyVerb = "predict"
READ: KeyVerb = "read"
LABEL: KeyVerb = "label"
MANAGE: KeyVerb = "manage"
SERVER = ""
"""In place of a model in a `Need`: what is asked for is of the server, and tells of no model."""
DONE = b"{}"
"""The body that answers a wish, where nothing more is to be said."""
AGAIN, CLOSE = ("retry-after", "1"), ("connection", "close")
_FORMS = ("application/json", "application/x-www-form-urlencoded", "text/json")
"""Content types of a JSON body; the second is what a bare `curl -d` says of anything."""


class Given(Protocol):
    """The headers of a request; names in lower case."""

    def get(self, name: str, default: str | None = None) -> str | None: ...


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes


class Need(NamedTuple):
    """What a caller must be allowed to do."""

    verb: KeyVerb
    model: str | None = None
    """None: every model; `SERVER`: none in particular."""


Written = tuple[Headers, bytes]
"""The headers and the body of an answer."""


class Wish(msgspec.Struct, frozen=True, array_like=True, tag="wish"):
    """A change that a caller asks for; see `serving.management`."""

    verb: Literal["load", "unload"]
    model: str
    reason: str
    """What the event says."""
    actor: str = ""
    """Who asks, as events call him."""


class Refusal(NamedTuple):
    """Why a request has no answer; a protocol gives it its shape."""

    status: int
    message: str
    field: str | None = None
    row: int | None = None
    """From 0."""


class Problem(MainstayError):
    """A request that is refused, with its status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        field: str | None = None,
        row: int | None = None,
        headers: Headers | None = None,
    ) -> None:
        self.status, self.field, self.row, self.headers = status, field, row, headers or []
        super().__init__(message)


class At(NamedTuple):
    """Where a version is asked for, beside by its number."""

    stable: bool
    """It takes its model's traffic: the paths that name no version are its own."""
    alone: bool
    """And no other model is deployed: the paths that name no model are its own, too."""
    labels: tuple[str, ...] = ()
    """The aliases that name it."""


class Codec(Protocol):
    """Translates the predictions of one version on one path.

    What another process reads or writes is awaited, in the event loop.
    """

    def read(self, body: bytes, headers: Given) -> Asked | Awaitable[Asked]:
        """The rows of a body; `Asked.form` is what `write` needs to know of the request.

        Raises:
            BadBody, InputError, Problem: it does not fit.
        """

    def write(self, answers: Answers, asked: Asked, identity: str) -> Written | Awaitable[Written]:
        """The answer's headers and body; `identity` is the prediction id.

        Raises:
            Problem: what was asked for cannot be written.
        """


@runtime_checkable
class Glancing(Protocol):
    """What a codec can do besides."""

    def glance(self, body: bytes, headers: Given) -> Asked | None:
        """As `Codec.read`, of a long body, where that takes no longer than a third of a millisecond; else None.

        Raises:
            BadBody, InputError, Problem: it does not fit.
        """


class Dialect(Protocol):
    """One protocol."""

    name: str
    """As metrics call it."""
    verb: str
    """What the paths that predict end with."""

    def claims(self, path: str) -> bool:
        """Whether a path is of this protocol."""

    def codecs(self, loaded: Loaded, at: At) -> Mapping[str, Codec]:
        """By exact path, what predicts with a version."""

    def need(self, path: str) -> Need | None:
        """What a caller of a path of this protocol must be allowed to do, whether there is something or not; None:
        nothing, as everybody may ask for the server's health. The same parts of the path count as for `other`."""

    def takes_body(self, path: str) -> bool:
        """Whether a POST to a path of this protocol that predicts nothing has a body that must be read."""

    def other(self, method: str, path: str, body: bytes, given: Given) -> Reply | Wish | Labels:
        """The answer to everything but a prediction, asked with the headers `given`; or what the caller asks to have
        changed, which is answered by `DONE` once it is; or the labels that he sends.

        Raises:
            Problem: there is nothing there, or no such model.
        """

    def refused(self, refusal: Refusal) -> tuple[Headers, bytes]:
        """A refusal in this protocol's shape."""


def takes_json(content_type: str | None, also: Mapping[str, Any] | tuple[str, ...] = ()) -> None:
    """Refuses a body that says of itself that it is no JSON; what says nothing is taken for it.

    Raises:
        Problem: of another type; 415.
    """
    if content_type is None or content_type.startswith("application/json"):
        return
    kind = kind_of(content_type)
    if kind and kind not in _FORMS and not kind.endswith("+json"):
        taken = " or ".join(("application/json", *also))
        raise Problem(415, f"Content type {kind[:100]!r} is not taken: send {taken}.")


def kind_of(content_type: str) -> str:
    """A content type without its parameters."""
    return content_type.split(";", 1)[0].strip().lower()


def version_number(loaded: Loaded) -> int:
    """The 3 of credit:3."""
    return number_of(loaded.version)


def number_of(version: str) -> int:
    """The 3 of credit:3."""
    return int(version.rpartition(":")[2])
