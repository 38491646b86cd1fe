"""The paths under /v2: health, metadata, inference, the repository's index, statistics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from mainstay.release import release
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import (
    AGAIN,
    JSON_HEADERS,
    MANAGE,
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
    Wish,
    version_number,
)
from mainstay.serving.protocols.desk import Desk
from mainstay.serving.protocols.open_inference import repository
from mainstay.serving.protocols.open_inference.describing import configuration, metadata
from mainstay.serving.protocols.open_inference.inference import InferCodec
from mainstay.serving.protocols.open_inference.statistics import statistics
from mainstay.serving.protocols.open_inference.unoffered import unoffered

Json = dict[str, Any]

_EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")
_INDEX = "/v2/repository/index"
_MODEL = re.compile(r"^/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer|stats|config))?$")
_CONTROL = re.compile(r"^/v2/repository/models/([^/]+)/(load|unload)$")
_STATS = "/v2/models/stats"
_OF_SERVER = ("/v2", "/v2/health/live", "/v2/health/ready", _STATS)
_encode = msgspec.json.Encoder().encode


class OpenInference:
    """The dialect."""

    name, verb = "open-inference", "/infer"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def claims(self, path: str) -> bool:
        """What is under /v2."""
        return path.startswith("/v2/") or path == "/v2"

    def codecs(self, loaded: Loaded, at: At) -> Mapping[str, Codec]:
        """By the model's name, and with its version."""
        codec, base = InferCodec(loaded), f"/v2/models/{loaded.model}"
        numbered: dict[str, Codec] = {f"{base}/versions/{version_number(loaded)}{self.verb}": codec}
        return {f"{base}{self.verb}": codec, **numbered} if at.stable else numbered

    def need(self, path: str) -> Need | None:
        """Nothing for health; loading and unloading is managing."""
        path = path.rstrip("/")
        if path in ("/v2/health/live", "/v2/health/ready"):
            return None
        if path == "/v2":
            return Need(READ, SERVER)
        if control := _CONTROL.match(path):
            return Need(MANAGE, control[1])
        found = None if path == _STATS else _MODEL.match(path)
        if found is None:
            return Need(READ)
        return Need(PREDICT if found[3] == "infer" else READ, found[1])

    def takes_body(self, path: str) -> bool:
        """The index may be asked for the ready models alone; loading and unloading may have parameters."""
        return path.rstrip("/") == _INDEX or _CONTROL.match(path.rstrip("/")) is not None

    def refused(self, refusal: Refusal) -> tuple[Headers, bytes]:
        """`{"error": "…"}`."""
        return JSON_HEADERS, _encode({"error": refusal.message})

    def other(self, method: str, path: str, body: bytes, given: Given) -> Reply | Wish:
        """Everything but an inference, and why one has no answer."""
        del given
        path, asked = path.rstrip("/"), path
        if (why := unoffered(path.removeprefix("/v2"))) is not None:
            raise Problem(501, why)
        found = None if path == _STATS else _MODEL.match(path)
        control = _CONTROL.match(path)
        posted = path == _INDEX or control or (found and found[3] == "infer")
        if not posted and found is None and path not in _OF_SERVER:
            raise Problem(404, f"There is nothing at {path[:100]}.")
        if method not in (("POST",) if posted else ("GET", "HEAD")):
            allowed = "POST" if posted else "GET, HEAD"
            raise Problem(405, f"{path[:200]} takes {'POST' if posted else 'GET'}.", headers=[("allow", allowed)])
        if control is not None:
            return repository.wish(control[2], control[1], body)
        if path == _INDEX:
            return _told(repository.index(body, self._desk))
        if found is None:
            return self._of_server(path)
        name, number, verb = found.groups()
        if verb == "infer":
            self._version(name, number)  # says why it does not answer
            if asked != path:
                raise Problem(404, f"There is nothing at {asked[:200]}: send it to {path[:200]}.")
            raise Problem(503, f"Model {name!r} cannot be asked here now: the server's log says why.", headers=[AGAIN])
        return self._of_model(name, number, verb)

    def _of_server(self, path: str) -> Reply:
        match path:
            case "/v2":
                return _told({"name": "mainstay", "version": release(), "extensions": _EXTENSIONS})
            case "/v2/health/live":
                return _told({"live": True})
            case "/v2/health/ready":
                return _told({"ready": self._desk.ready}, 200 if self._desk.ready else 503)
        return _told(statistics(self._desk.all_versions(), self._desk.counts()))

    def _of_model(self, name: str, number: str | None, verb: str | None) -> Reply:
        loaded = self._version(name, number)
        answering = self._desk.versions(name)
        match verb:
            case "ready":
                return _told({"name": loaded.model, "ready": True})
            case "stats":
                asked = answering.values() if number is None else [loaded]
                return _told(statistics(asked, self._desk.counts()))
            case "config":
                return _told(configuration(loaded, self._desk.max_body))
        return _told(metadata(loaded, answering))

    def _version(self, name: str, number: str | None) -> Loaded:
        """The version that a path names.

        Raises:
            Problem: 404, in Triton's words first; 503 where it cannot answer now.
        """
        try:
            return self._desk.model(name) if number is None else self._desk.version(name, number)
        except Problem as problem:
            if problem.status != 404:
                raise
            called = f"{name[:100]!r}" if number is None else f"{name[:100]!r} version {number[:50]}"
            raise Problem(404, f"Request for unknown model: {called} is not found. {problem}") from None


def _told(document: Any, status: int = 200) -> Reply:
    return Reply(status, JSON_HEADERS, _encode(document))
