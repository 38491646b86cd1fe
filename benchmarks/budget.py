"""What a request costs in a worker, step by step: processor time of one thread, in process, without a network.

    make bench ARGS="--only budget"

The clock counts this thread alone, and the fastest of many runs is taken: whoever else uses the machine disturbs it
little. What granian, the event loop and the kernel take comes on top; the bare application pays that too.
"""

import asyncio
import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mainstay.models.encoder import compiled
from mainstay.models.formats.onnx import OnnxRunner
from mainstay.models.runtime import Model
from mainstay.registry.store import Registry
from mainstay.serving import metrics
from mainstay.serving.access import Grants, write_grants
from mainstay.serving.app import App
from mainstay.serving.door import Door
from mainstay.serving.follower import Follower
from mainstay.serving.guard import Guard
from mainstay.serving.protocols.codec import PREDICT
from mainstay.serving.routing import Placed, Route, Table, write_table

AT_ONCE, ROUNDS = 200, 60
HOST = "127.0.0.1:8080"
PATH = "/predict"


class Headers(dict[str, str]):
    """The headers of a request, each given once."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]] if name in self else []


class Proto:
    """Takes a body that is there already, and keeps the answer."""

    def __init__(self, body: bytes) -> None:
        self._body, self.status = body, 0

    async def __call__(self) -> bytes:
        return self._body

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status


def budget(project: Path, name: str, row: dict[str, Any], bare_files: Path) -> dict[str, float]:
    """Microseconds by step, for one row of JSON by name."""
    return asyncio.run(_budget(project, name, json.dumps(row).encode(), bare_files))


async def _budget(project: Path, name: str, body: bytes, bare_files: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, Registry.open(project / ".mainstay") as registry:
        version = registry.version(name)
        package = registry.package(version)
        app = await _app(Path(folder), project / ".mainstay" / "blobs", version.ref, name, package.manifest)
        target = app.target(PATH)
        assert target is not None
        plane, codec, proto = app.plane, target.codec, Proto(body)
        given = Headers({"host": HOST, "content-type": "application/json", "content-length": str(len(body))})
        scope = SimpleNamespace(method="POST", path=PATH, headers=given)
        asked = codec.read(body, given)
        model, runner = Model.load(package), OnnxRunner(package.read(package.spec.file), package.signature)
        encode = compiled(package.encoder)
        run = runner.call(asked.cells, encode(asked.cells))
        answers = model.answer(asked.cells)
        os.environ["BARE_MODEL"] = str(bare_files)
        bare = importlib.reload(importlib.import_module("bare"))

        def passed() -> None:
            app.door.passes(given.get("host"), given.get("origin"))
            app.target(scope.path)
            app.guard.require(given, PREDICT, name)

        def in_flight() -> None:
            plane.entered(target)
            plane.left(target)

        steps: dict[str, Callable[[], Any]] = {
            "is it let in, and whom does it ask": passed,
            "count it in and out": in_flight,
            "take the body in": lambda: _driven(app.reader.read(proto, given["content-length"])),
            "read: decode, check, cells": lambda: codec.read(body, given),
            "encode": lambda: encode(asked.cells),
            "ONNX Runtime": run,
            "the model's answer in all": lambda: model.answer(asked.cells),
            "a prediction id": lambda: next(plane._ids),  # noqa: SLF001 - a step like the others
            "write": lambda: codec.write(answers, asked, "0" * 36),
            "count it, with its time": lambda: target.counted.answered(200, rows=1, seconds=0.0003),
            "all of it": lambda: _driven(app.__rsgi__(scope, proto)),
            "the bare application": lambda: _driven(bare.app(scope, proto)),
        }
        found = _fastest(steps)
        if proto.status != 200:
            raise SystemExit(f"The request was answered with {proto.status}.")
        return _shares(found)


def _shares(found: dict[str, float]) -> dict[str, float]:
    """The steps, each without what it has in common with another, and what is left beside them."""
    model = found.pop("the model's answer in all")
    found["the answer's arrays, and its label"] = max(0.0, model - found["encode"] - found["ONNX Runtime"])
    whole, bare = found.pop("all of it"), found.pop("the bare application")
    rest = whole - sum(found.values())
    return found | {"the rest": rest, "all of it": whole, "the bare application": bare}


async def _app(run: Path, blobs: Path, ref: str, name: str, manifest: Any) -> App:
    def log(kind: str, message: str, **facts: Any) -> None:
        del kind, message, facts

    write_grants(run, Grants(closed=False))
    placed = {ref: Placed(version=ref, manifest=manifest)}
    write_table(
        run, Table(generation=1, edition=1, blobs=str(blobs), routes={name: Route(stable=ref)}, versions=placed)
    )
    slots = metrics.Slots(run / "0.slots")
    follower, guard = Follower(run, worker=0, log=log), Guard(run, log=log)
    await follower.catch_up()
    guard.look()
    door = Door(loopback=True, own=("127.0.0.1",), is_open=lambda: guard.open)
    return App(follower, slots, guard, door, run=run, max_body=20_000_000, log=log)


def _driven(asking: Coroutine[Any, Any, Any]) -> None:
    """Runs a coroutine that waits for nothing."""
    try:
        asking.send(None)
    except StopIteration:
        return
    raise AssertionError("It waits for something.")


def _fastest(steps: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Microseconds of each, less those of a call alone; the rounds alternate."""
    found = dict.fromkeys((*steps, ""), float("inf"))
    for _ in range(ROUNDS):
        for name, step in (*steps.items(), ("", lambda: None)):
            begun = time.thread_time_ns()
            for _ in range(AT_ONCE):
                step()
            found[name] = min(found[name], (time.thread_time_ns() - begun) / AT_ONCE / 1e3)
    nothing = found.pop("")
    return {name: taken - nothing for name, taken in found.items()}
