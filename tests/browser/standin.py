"""A small server with the routes that the pages use: it reads rows by a real signature and answers by a formula."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import msgspec

from mainstay.models.package import Decision
from mainstay.models.signature import Cells, InputError, Label, Reader, Signature
from mainstay.serving.pages import HEADERS, pages


@dataclass
class Served:
    """A model of the stand-in: `score` gives the probabilities (in the order of the labels) or the value of one row."""

    name: str
    signature: Signature
    score: Callable[[Cells], list[float] | float]
    version: int = 1
    decision: Decision | None = None

    def answer(self, row: dict[str, object]) -> dict[str, object]:
        scored = self.score(Reader(self.signature).rows([row]))
        reply: dict[str, object] = {"model": f"{self.name}:{self.version}", "id": "one"}
        if isinstance(scored, float):
            return {"prediction": [scored], **reply}
        return {"prediction": [self.decide(scored)], "probabilities": [self.named(scored)], **reply}

    def described(self) -> bytes:
        return msgspec.json.encode(
            {"name": self.name, "version": self.version, "signature": self.signature, "decision": self.decision}
        )

    def named(self, scored: list[float]) -> dict[str, float]:
        return {msgspec.json.encode(label).decode().strip('"'): p for label, p in zip(self.labels, scored, strict=True)}

    def decide(self, scored: list[float]) -> Label:
        if self.decision is None:
            return self.labels[max(range(len(scored)), key=scored.__getitem__)]
        positive, threshold = self.decision.positive, self.decision.threshold
        return self.labels[positive if scored[positive] >= threshold else 1 - positive]

    @property
    def labels(self) -> tuple[Label, ...]:
        return self.signature.labels


@dataclass
class Standin:
    models: dict[str, Served]
    url: str = ""
    bodies: list[str] = field(default_factory=list)
    hold: threading.Event | None = None
    """Set by a test: a request whose body holds "111" waits for it."""
    openapi: dict[str, object] = field(default_factory=dict)

    def listed(self) -> bytes:
        models = self.models.values()
        return msgspec.json.encode(
            {"models": [{"name": each.name, "version": each.version, "task": each.signature.task} for each in models]}
        )


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


PAGES = pages()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keeps quiet."""

    def reply(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in HEADERS:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path
        if path in PAGES:
            self.reply(200, PAGES[path].body, PAGES[path].content_type)
        elif path == "/models":
            self.reply(200, self.server.standin.listed())
        elif path == "/openapi.json":
            self.reply(200, msgspec.json.encode(self.server.standin.openapi))
        elif path.startswith("/models/"):
            self.reply(200, self.server.standin.models[unquote(path.removeprefix("/models/"))].described())
        else:
            self.reply(404, b'{"error": "nothing here"}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.standin.bodies.append(body)
        model = self.server.standin.models[unquote(self.path.removeprefix("/models/").removesuffix("/predict"))]
        if self.server.standin.hold is not None and "111" in body:
            self.server.standin.hold.wait(20)
        document = json.loads(body)
        rows = document if isinstance(document, list) else document["inputs"]
        try:
            self.reply(200, msgspec.json.encode(model.answer(rows[0])))
        except InputError as error:
            self.reply(422, msgspec.json.encode({"error": str(error), "field": error.column}))
        except BrokenPipeError:
            return  # the page no longer waits for this answer


@contextmanager
def served(*models: Served) -> Iterator[Standin]:
    """The models behind HTTP on a port of this machine."""
    standin = Standin({model.name: model for model in models})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.standin = standin
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    standin.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield standin
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
