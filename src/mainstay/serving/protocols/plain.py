"""The plain protocol: JSON as people write it, and the documents and pages of the server itself."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import msgspec

from mainstay.models.answers import Answers
from mainstay.serving import exposition, openapi
from mainstay.serving.bodies import Asked
from mainstay.serving.models import Loaded
from mainstay.serving.openapi_access import with_keys
from mainstay.serving.pages import HEADERS, pages
from mainstay.serving.predictions.bodies import labels_in
from mainstay.serving.predictions.messages import Labels
from mainstay.serving.protocols.codec import (
    JSON_HEADERS,
    LABEL,
    PREDICT,
    READ,
    SERVER,
    At,
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

_encode = msgspec.json.Encoder().encode
_MODELS = "/models/"
_PREDICT = "/predict"
_METRICS = "/metrics"
_LABELS = "/labels"
_PATH = re.compile(r"^/models/([^/]+)(?:/versions/([^/]+))?(/predict)?$")
_LABELS_OF = re.compile(r"^/models/([^/]+)/labels$")


class PlainCodec:
    """`/predict` of one version."""

    def __init__(self, loaded: Loaded, desk: Desk) -> None:
        self._read, self._write = loaded.bodies.read, loaded.replies.write
        self._tables = Tables(loaded, desk)

    def read(self, body: bytes, headers: Given) -> Asked | Awaitable[Asked]:
        """The rows of a body: JSON, or a table; the form is the content type of an answer that is no JSON."""
        said, accept = headers.get("content-type"), headers.get("accept")
        form = None if not accept or accept == "*/*" else accepted(accept)
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
        self._described: tuple[tuple[int, bool], bytes] = ((-1, False), b"")
        self._gets: Mapping[str, Callable[[], Reply]] = {
            "/models": self._models,
            "/healthz": lambda: Reply(200, JSON_HEADERS, b'{"status":"alive"}'),
            "/readyz": self._readiness,
            "/openapi.json": self._description,
        }

    def claims(self, path: str) -> bool:
        """Every path."""
        del path
        return True

    def codecs(self, loaded: Loaded, at: At) -> Mapping[str, Codec]:
        """By its number; by its model's name, and without it where that is the only one."""
        codec, base = PlainCodec(loaded, self._desk), f"{_MODELS}{loaded.model}"
        found: dict[str, Codec] = {f"{base}/versions/{version_number(loaded)}{_PREDICT}": codec}
        if at.stable:
            found[f"{base}{_PREDICT}"] = codec
        return {**found, _PREDICT: codec} if at.alone else found

    def need(self, path: str) -> Need | None:
        """Nothing for health; a page tells of no model, a document without a model's name of all."""
        if path in ("/healthz", "/readyz"):
            return None
        if path in self._pages:
            return Need(READ, SERVER)
        if path == _LABELS:
            return Need(LABEL, self._only())
        if (labels := _LABELS_OF.match(path)) is not None:
            return Need(LABEL, labels[1])
        named = _PATH.match(path)
        if named is not None:
            return Need(PREDICT if named[3] else READ, named[1])
        return Need(PREDICT if path.endswith(_PREDICT) else READ)

    def takes_body(self, path: str) -> bool:
        """Labels do."""
        return path == _LABELS or _LABELS_OF.match(path) is not None

    def refused(self, refusal: Refusal) -> tuple[Headers, bytes]:
        """`{"error": "…", "field": "age", "row": 0}`."""
        said: dict[str, Any] = {"error": refusal.message}
        if refusal.field is not None:
            said["field"] = refusal.field
        if refusal.row is not None:
            said["row"] = refusal.row
        return JSON_HEADERS, _encode(said)

    def other(self, method: str, path: str, body: bytes, given: Given) -> Reply | Labels:
        """Pages, documents, labels, and why a path that predicts does not."""
        if self.takes_body(path):
            return self._labels(method, path, body, given)
        named = _PATH.match(path)
        if path == _PREDICT or (named and named[3]):
            if method != "POST":
                raise Problem(405, f"{path[:100]} takes POST.", headers=[("allow", "POST")])
            self._unanswered(named)
        page = self._pages.get(path)
        answer = partial(self._metrics, given.get("accept")) if path == _METRICS else self._gets.get(path)
        if page is None and answer is None and named is None:
            raise Problem(404, f"There is nothing at {path[:100]}. The page for people is /, the API is told at /docs.")
        if method not in ("GET", "HEAD"):
            raise Problem(405, f"{path[:100]} takes GET.", headers=[("allow", "GET, HEAD")])
        if page is not None:
            return Reply(200, [("content-type", page.content_type), *HEADERS], page.body)
        if answer is not None:
            return answer()
        assert named is not None
        return self._one(*named.group(1, 2))

    def _only(self) -> str | None:
        """The model that need not be named, as there is no other."""
        names = self._desk.names
        return next(iter(names)) if len(names) == 1 else None

    def _labels(self, method: str, path: str, body: bytes, given: Given) -> Labels:
        if method != "POST":
            raise Problem(405, f"{path[:100]} takes POST.", headers=[("allow", "POST")])
        named = _LABELS_OF.match(path)
        model = self._only() if named is None else named[1]
        if model is None:
            self._desk.unnamed(lambda name: f"{_MODELS}{name}{_LABELS}")
        if model not in self._desk.names:
            self._desk.missing(model)
        takes_json(given.get("content-type"))
        return labels_in(model, body)

    def _unanswered(self, named: re.Match[str] | None) -> NoReturn:
        """Says why a path that predicts does not."""
        if named is None:
            self._desk.unnamed(lambda name: f"{_MODELS}{name}{_PREDICT}")
        name, number = named.group(1, 2)
        if number is not None:
            self._desk.version(name, number)
        self._desk.missing(name)

    def _metrics(self, accept: str | None) -> Reply:
        form = exposition.form(accept)
        headers = [("content-type", form.content_type), ("vary", "accept")]
        return Reply(200, headers, exposition.text(self._desk.counts(), form).encode())

    def _models(self) -> Reply:
        listed = [
            {
                "name": each.model,
                "version": version_number(each),
                "versions": list(self._desk.versions(each.model)),
                "task": each.signature.task,
            }
            for _, each in sorted(self._desk.serving.items())
        ]
        return Reply(200, JSON_HEADERS, _encode({"models": listed}))

    def _one(self, name: str, number: str | None) -> Reply:
        loaded = self._desk.model(name) if number is None else self._desk.version(name, number)
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
        desk = self._desk
        shown = desk.edition, desk.closed()
        if self._described[0] != shown:
            told = openapi.document(desk.serving.values(), desk.all_versions())
            self._described = shown, _encode(with_keys(told) if desk.closed() else told)
        return Reply(200, JSON_HEADERS, self._described[1])
