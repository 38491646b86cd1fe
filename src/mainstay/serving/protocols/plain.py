"""The plain protocol: JSON as people write it, and the documents and pages of the server itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from mainstay.models.answers import Answers
from mainstay.serving import openapi
from mainstay.serving.bodies import Asked
from mainstay.serving.models import Loaded
from mainstay.serving.pages import HEADERS, pages
from mainstay.serving.protocols.codec import (
    JSON_HEADERS,
    PREDICT,
    READ,
    SERVER,
    Codec,
    Given,
    Headers,
    Need,
    Problem,
    Refusal,
    Reply,
    Written,
    kind_of,
    takes_json,
    version_number,
)
from mainstay.serving.protocols.desk import Desk
from mainstay.serving.protocols.tables import KINDS, Tables, accepted

TEXT_HEADERS: Headers = [("content-type", "text/plain; version=0.0.4; charset=utf-8")]
_encode = msgspec.json.Encoder().encode
_MODELS = "/models/"
_PREDICT = "/predict"


class PlainCodec:
    """`/predict` of one version."""

    def __init__(self, loaded: Loaded, desk: Desk) -> None:
        self._read, self._write = loaded.bodies.read, loaded.replies.write
        self._tables = Tables(loaded, desk)

    def read(self, body: bytes, headers: Given) -> Asked | Awaitable[Asked]:
        """The rows of a body: JSON, or a table; the form is the content type of an answer that is no JSON."""
        said, accept = headers.get("content-type"), headers.get("accept")
        form = None if accept is None or accept == "*/*" else accepted(accept)
        if said is None or said.startswith("application/json") or kind_of(said) not in KINDS:
            takes_json(said, KINDS)
            asked = self._read(body)
            return asked if form is None else asked._replace(form=form)
        return self._tables.read(body, kind_of(said), form)

    def write(self, answers: Answers, asked: Asked, identity: str) -> Written | Awaitable[Written]:
        """The answer."""
        if asked.form is None:
            return JSON_HEADERS, self._write(answers, asked.single, identity)
        return self._tables.write(answers, asked.form, identity)


class Plain:
    """The dialect; what no other protocol claims is its own."""

    name, verb = "plain", _PREDICT

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pages = pages()
        self._described: tuple[Mapping[str, Loaded] | None, bytes] = (None, b"")
        self._gets: Mapping[str, Callable[[], Reply]] = {
            "/models": self._models,
            "/healthz": lambda: Reply(200, JSON_HEADERS, b'{"status":"alive"}'),
            "/readyz": self._readiness,
            "/metrics": lambda: Reply(200, TEXT_HEADERS, desk.metrics().encode()),
            "/openapi.json": self._description,
        }

    def claims(self, path: str) -> bool:
        """Every path."""
        del path
        return True

    def codecs(self, loaded: Loaded, *, alone: bool) -> Mapping[str, Codec]:
        """By its name, and without it where it is the only one."""
        codec = PlainCodec(loaded, self._desk)
        named: dict[str, Codec] = {f"{_MODELS}{loaded.model}{_PREDICT}": codec}
        return {**named, _PREDICT: codec} if alone else named

    def need(self, path: str) -> Need | None:
        """Nothing for health; a page tells of no model, a document without a model's name of all."""
        if path in ("/healthz", "/readyz"):
            return None
        if path in self._pages:
            return Need(READ, SERVER)
        predicts = path.endswith(_PREDICT)
        if path.startswith(_MODELS):
            name = path[len(_MODELS) :]
            return Need(PREDICT, name[: -len(_PREDICT)]) if predicts else Need(READ, name)
        return Need(PREDICT if predicts else READ)

    def takes_body(self, path: str) -> bool:
        """None does."""
        del path
        return False

    def refused(self, refusal: Refusal) -> tuple[Headers, bytes]:
        """`{"error": "…", "field": "age", "row": 0}`."""
        said: dict[str, Any] = {"error": refusal.message}
        if refusal.field is not None:
            said["field"] = refusal.field
        if refusal.row is not None:
            said["row"] = refusal.row
        return JSON_HEADERS, _encode(said)

    def other(self, method: str, path: str, body: bytes) -> Reply:
        """Pages, documents, and why a path that predicts does not."""
        del body
        if path == _PREDICT or (path.endswith(_PREDICT) and path.startswith(_MODELS)):
            if method != "POST":
                raise Problem(405, f"{path[:100]} takes POST.", headers=[("allow", "POST")])
            if path == _PREDICT:
                self._desk.unnamed(lambda name: f"{_MODELS}{name}{_PREDICT}")
            self._desk.missing(path[len(_MODELS) : -len(_PREDICT)])
        page = self._pages.get(path)
        answer = self._gets.get(path)
        named = path.startswith(_MODELS) and "/" not in path[len(_MODELS) :] and len(path) > len(_MODELS)
        if page is None and answer is None and not named:
            raise Problem(404, f"There is nothing at {path[:100]}. The page for people is /, the API is told at /docs.")
        if method not in ("GET", "HEAD"):
            raise Problem(405, f"{path[:100]} takes GET.", headers=[("allow", "GET, HEAD")])
        if page is not None:
            return Reply(200, [("content-type", page.content_type), *HEADERS], page.body)
        return self._one_model(path[len(_MODELS) :]) if answer is None else answer()

    def _models(self) -> Reply:
        listed = [
            {"name": each.model, "version": version_number(each), "task": each.signature.task}
            for _, each in sorted(self._desk.serving.items())
        ]
        return Reply(200, JSON_HEADERS, _encode({"models": listed}))

    def _one_model(self, name: str) -> Reply:
        loaded = self._desk.model(name)
        document = {
            "name": loaded.model,
            "version": version_number(loaded),
            "content_id": loaded.manifest.content_id,
            "signature": loaded.signature,
            "decision": loaded.decision,
        }
        return Reply(200, JSON_HEADERS, _encode(document))

    def _readiness(self) -> Reply:
        if self._desk.draining:
            return Reply(503, JSON_HEADERS, b'{"status":"draining"}')
        if self._desk.ready:
            return Reply(200, JSON_HEADERS, b'{"status":"ready"}')
        return Reply(503, JSON_HEADERS, b'{"status":"no model answers yet"}')

    def _description(self) -> Reply:
        serving, described = self._desk.serving, self._described
        if described[0] is not serving:
            described = self._described = serving, _encode(openapi.document(serving.values()))
        return Reply(200, JSON_HEADERS, described[1])
