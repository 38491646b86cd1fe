"""What can be called: inference by the data plane, documents as the REST side of the protocol has them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn
from urllib.parse import quote, unquote

import msgspec
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError

from mainstay.serving.app import App
from mainstay.serving.grpc.calls import Answer, Method
from mainstay.serving.grpc.dialect import Grpc, named, target_path
from mainstay.serving.grpc.inference import request_of, said
from mainstay.serving.grpc.messages import HEALTH, INFERENCE, REFLECTIONS
from mainstay.serving.grpc.reflection import reflected
from mainstay.serving.http2.hpack import Fields
from mainstay.serving.management import passed_on
from mainstay.serving.patience import CallerGone
from mainstay.serving.protocols.codec import AGAIN, PREDICT, Given, Problem, Reply, Wish
from mainstay.serving.protocols.open_inference.dialect import OpenInference
from mainstay.serving.protocols.open_inference.unoffered import unoffered_call
from mainstay.serving.strict import BadBody

Json = dict[str, Any]
Document = Callable[[Any, Given], Awaitable[Json]]
"""What answers a request's message, and its metadata."""
_SERVICES = ("", INFERENCE, HEALTH, *REFLECTIONS)


class Service:
    """The calls of a worker."""

    def __init__(self, app: App, dialect: Grpc) -> None:
        """`app` has the targets of `dialect`."""
        self._plane, self._desk, self._guard, self._target_at = app.plane, app.desk, app.guard, app.target
        self._inflater = app.inflater
        self._dialect, self._rest = dialect, OpenInference(app.desk)
        messages = self._messages = dialect.messages
        self._request = request_of(messages)
        self._streamed = messages["ModelStreamInferResponse"]
        documents: Mapping[str, Document] = {
            "ServerLive": lambda _, given: self._asked(given, "/health/live"),
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": lambda _, given: self._asked(given, ""),
            "ModelMetadata": lambda asked, given: self._asked(given, _path(asked.name, asked.version)),
            "ModelConfig": self._configuration,
            "ModelStatistics": self._statistics,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": lambda asked, given: self._change(asked, given, "load"),
            "RepositoryModelUnload": lambda asked, given: self._change(asked, given, "unload"),
        }
        self._methods: Mapping[str, Method] = {
            f"/{INFERENCE}/ModelInfer": Method(self.infer),
            f"/{INFERENCE}/ModelStreamInfer": Method(self._infer_streamed, many=True),
            f"/{HEALTH}/Check": Method(self._document("grpc.health.v1.HealthCheck", self._health)),
            **{f"/{INFERENCE}/{call}": Method(self._document(call, answer)) for call, answer in documents.items()},
            **{f"/{name}/ServerReflectionInfo": Method(reflected(messages, name), many=True) for name in REFLECTIONS},
        }
        self._predicting = {f"/{INFERENCE}/ModelInfer", f"/{INFERENCE}/ModelStreamInfer"}
        self._open = {f"/{INFERENCE}/ServerLive", f"/{INFERENCE}/ServerReady", f"/{HEALTH}/Check"}

    def method(self, path: str, fields: Fields) -> Method:
        """What is called, for a caller who may go on to say what he wants.

        Raises:
            Problem: there is none; or the caller's key is missing or wrong.
        """
        method = self._methods.get(path)
        if method is None:
            why = unoffered_call(path.removeprefix(f"/{INFERENCE}/"))
            raise Problem(501, why or f"There is no method {path[:200]} here.")
        if path not in self._open:
            self._guard.recognise(_given(fields))
        return method

    def refused(self, error: Exception) -> Reply:
        """An error as trailers."""
        return self._plane.refused(self._dialect, error)

    def unanswered(self, fields: Fields, error: Exception) -> Reply:
        """The same, of a call that never came as far as to be asked of a version; a prediction is counted."""
        if fields[":path"] in self._predicting:
            return self._plane.refuse_unrouted(self._dialect, error, _given(fields), seconds=0.0)
        return self.refused(error)

    def inflated(self, message: bytes, coding: str, within: float | None) -> AbstractAsyncContextManager[bytes]:
        """What is in a compressed message, until it is answered, which is to be within so many seconds."""
        longest = self._plane.timeout
        return self._inflater.whole(message, coding, within=longest if within is None else min(within, longest))

    async def infer(self, message: bytes, fields: Fields, timeout: float | None) -> Reply:
        """The answer to a `ModelInferRequest`."""
        plane, given, name = self._plane, _given(fields), ""
        try:
            name, version = named(message, self._request)
            self._guard.require(given, PREDICT, name)
            target = self._target_at(target_path(name, version)) or self._missing(name, version, given)
        except Exception as error:  # noqa: BLE001 - every error has an answer
            known = name if name in self._desk.names else ""
            return plane.refuse_unrouted(self._dialect, error, given, seconds=0.0, model=known)
        plane.entered(target)
        try:
            return await plane.answer(target, message, given, timeout=timeout)
        except asyncio.CancelledError:
            plane.refuse(target, CallerGone())
            raise
        finally:
            plane.left(target)

    def _missing(self, name: str, version: str, given: Given) -> NoReturn:
        """Says why nothing answers, in the words of the REST side."""
        self._rest.other("GET", f"/v2{_path(name, version)}/ready", b"", given)
        raise Problem(503, f"Model {name!r} was changed a moment ago: ask again.", headers=[AGAIN])

    async def _infer_streamed(self, message: bytes, fields: Fields, timeout: float | None) -> Reply:
        """As `infer`; what is wrong with one request of a stream is said in its answer, and the stream goes on."""
        reply = await self.infer(message, fields, timeout)
        if reply.status == 200:
            answer = self._streamed()
            answer.infer_response.MergeFromString(reply.body)
        else:
            answer = self._streamed(error_message=unquote(dict(reply.headers)["grpc-message"]))
        return Reply(200, [], answer.SerializeToString())

    def _document(self, call: str, answer: Document) -> Answer:
        """A call whose answer is a document, as JSON has it."""
        asked, told = self._messages[f"{call}Request"], self._messages[f"{call}Response"]

        async def answered(message: bytes, fields: Fields, timeout: float | None) -> Reply:
            del timeout
            try:
                found = await answer(asked.FromString(message), _given(fields))
                document = ParseDict(found, told(), ignore_unknown_fields=True)
            except DecodeError as error:
                return self.refused(BadBody(f"The message is no {call}Request: {error}."))
            except Exception as error:  # noqa: BLE001 - every error has an answer
                return self.refused(error)
            return Reply(200, [], document.SerializeToString())

        return answered

    async def _asked(self, given: Given, path: str, method: str = "GET", body: bytes = b"") -> Any:
        """What the REST side answers under /v2, to who may ask for it there; what it is to change is changed."""
        path = f"/v2{path}"
        need = self._rest.need(path)
        caller = None if need is None else self._guard.require(given, *need)
        answer = self._rest.other(method, path, body, given)
        if isinstance(answer, Wish):
            await passed_on(answer, self._desk.control, caller=caller)
            return {}
        return msgspec.json.decode(answer.body)

    async def _ready(self, request: Any, given: Given) -> Json:
        del request, given
        return {"ready": self._desk.ready}

    async def _model_ready(self, request: Any, given: Given) -> Json:
        """Triton says of a model that it does not know that it is not ready, and no more."""
        try:
            await self._asked(given, f"{_path(request.name, request.version)}/ready")
        except Problem as problem:
            if problem.status not in (404, 503):
                raise
            return {"ready": False}
        return {"ready": True}

    async def _configuration(self, request: Any, given: Given) -> Json:
        return {"config": await self._asked(given, f"{_path(request.name, request.version)}/config")}

    async def _statistics(self, request: Any, given: Given) -> Json:
        path = f"{_path(request.name, request.version)}/stats" if request.name else "/models/stats"
        statistics: Json = await self._asked(given, path)
        return statistics

    async def _index(self, request: Any, given: Given) -> Json:
        body = msgspec.json.encode({"ready": request.ready})
        return {"models": await self._asked(given, "/repository/index", "POST", body)}

    async def _change(self, request: Any, given: Given, verb: str) -> Json:
        """Loads or unloads a model; KServe's messages have its name where Triton's have a repository's."""
        name = request.model_name or request.repository_name
        body = msgspec.json.encode({"parameters": said(request.parameters)})
        await self._asked(given, f"/repository/models/{quote(name, safe='')}/{verb}", "POST", body)
        return {"model_name": name, f"is{verb.title()}ed": True}

    async def _health(self, request: Any, given: Given) -> Json:
        """Of the server, or of a model by its name."""
        service = request.service
        if service in _SERVICES:
            return {"status": "SERVING" if self._desk.ready else "NOT_SERVING"}
        try:
            await self._asked(given, f"{_path(service, '')}/ready")
        except Problem as problem:
            if problem.status != 503:
                raise
            return {"status": "NOT_SERVING"}
        return {"status": "SERVING"}


def _given(fields: Fields) -> Given:
    return fields  # type: ignore[return-value] # a dict's `get` does what is asked of headers


def _path(name: str, version: str) -> str:
    """Where the REST side has a model, or a version of it."""
    if not name:
        raise BadBody("The message names no model.")
    base = f"/models/{quote(name, safe='')}"
    return f"{base}/versions/{quote(version, safe='')}" if version else base
