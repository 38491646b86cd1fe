"""A real server in processes of its own, on a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from mainstay.models.package import Draft
from mainstay.registry.records import Version
from mainstay.registry.store import Registry

PATIENCE = 60.0
"""Seconds: far more than anything takes, so that a busy machine fails no test."""


def until(true: Callable[[], Any], *, what: str, within: float = PATIENCE) -> Any:
    """What `true` gives, once that is something."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


class Server:
    """A running server and its registry."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], registry: Registry, log: Path) -> None:
        self.folder, self.process, self.registry, self._log = folder, process, registry, log
        self.url = ""
        self.client = httpx.Client(timeout=PATIENCE)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        given = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.client.post(self.url + path, content=content, headers=given)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(self.url + path)

    def add(self, model: str, draft: Draft) -> Version:
        return self.registry.add(model, draft, passed=True, actor="test", summary={})

    def deploy(self, version: Version) -> None:
        """Deploys, and waits until every worker serves it."""
        found = self.registry.deployment(version.model)
        before = None if found is None else found.version
        generation = self.registry.deploy(version, expecting=before, actor="test").generation
        self.acknowledged(generation)

    def acknowledged(self, generation: int) -> dict[str, str]:
        """Waits until a generation is served; the errors that came with it."""

        def there() -> Any:
            return next((m for m in self.registry.members() if m.generation >= generation), None)

        return until(there, what=f"generation {generation}").errors

    def workers(self) -> list[psutil.Process]:
        return self._children("mainstay.serving.worker")

    def hosts(self) -> list[psutil.Process]:
        return self._children("mainstay.serving.host")

    def _children(self, module: str) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children():
            try:
                if module in child.cmdline():
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def log(self) -> list[dict[str, Any]]:
        """The log, each line of which has to be one JSON object."""
        return [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines()]

    def metrics(self) -> dict[str, float]:
        """Each sample by its name and labels."""
        lines = self.get("/metrics").text.splitlines()
        return {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        }

    def ended(self, number: int = signal.SIGTERM) -> int:
        """Tells the server to end, and waits; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def serving(
    folder: Path,
    deployed: dict[str, Draft],
    *,
    workers: int = 1,
    arguments: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    ready: bool = True,
) -> Iterator[Server]:
    """Registers and deploys drafts, by model, and serves them until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "serve.log"
    with Registry.open(folder / ".mainstay") as registry, log.open("wb") as output:
        for model, draft in deployed.items():
            version = registry.add(model, draft, passed=True, actor="test", summary={})
            registry.deploy(version, expecting=None, actor="test")
        command = [sys.executable, "-m", "mainstay", "serve", "--port", "0", "--workers", str(workers), *arguments]
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
        server = Server(folder, process, registry, log)
        try:
            server.url = until(lambda: _url(server), what=f"a server; its log: {log.read_text()}")
            path = "/readyz" if ready else "/healthz"
            until(lambda: _says_200(server, path), what=f"{path}; its log: {log.read_text()}")
            until(lambda: len(server.workers()) == workers, what="all workers")
            if ready:
                server.acknowledged(registry.generation())
            yield server
        finally:
            server.client.close()
            try:
                server.ended()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _url(server: Server) -> str:
    assert server.process.poll() is None, server._log.read_text()
    return next((m.url for m in server.registry.members() if m.pid == server.process.pid), "")


def _says_200(server: Server, path: str) -> bool:
    try:
        return server.get(path).status_code == 200
    except httpx.TransportError:
        return False


def without_ids(text: str) -> str:
    """An answer without its prediction id."""
    return re.sub(r'"id":"[^"]*"', '"id":""', text)
