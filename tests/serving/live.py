"""Real servers: `mainstay serve` in a process of its own, on a free port."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from mainstay.models.package import Draft
from mainstay.registry.store import Registry
from mainstay.serving.runs import WORKER

UP_WITHIN = 60.0


def until(what: Callable[[], object], within: float = 30.0):
    """The first true value of `what`; fails the test where there is none in time."""
    over = time.monotonic() + within
    while time.monotonic() < over:
        if found := what():
            return found
        time.sleep(0.02)
    pytest.fail(f"not within {within:g} s")


@dataclass
class Server:
    """A running server and its project."""

    folder: Path
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def grpc(self) -> str:
        """Host and port of gRPC, of a server that was started with `--grpc-port 0`."""

        def told():
            events = map(json.loads, self.log.read_text().splitlines())
            return next((event["grpc"] for event in events if event["kind"] == "serving"), None)

        return until(told)

    def workers(self) -> list[psutil.Process]:
        """Its living workers: forks of the server, and those that took the place of dead ones."""
        return self._found(lambda child: child.name() == WORKER)

    def children(self, module: str) -> list[psutil.Process]:
        """The living processes that the server runs a module in."""
        return self._found(lambda child: module in child.cmdline())

    def _found(self, which: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if child.status() != psutil.STATUS_ZOMBIE and which(child):
                    found.append(child)
        return found

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)

    def add(self, name: str, draft: Draft, *, deploy: bool = True) -> str:
        """Registers a version, and deploys it; its name."""
        with Registry.open(self.folder / ".mainstay") as registry:
            version = registry.add(name, draft, passed=True, actor="test", summary={})
            if deploy:
                present = registry.deployment(name)
                registry.deploy(version, expecting=present and present.version, actor="test")
            return version.ref

    def settled(self, model: str) -> dict[str, str]:
        """Waits until all workers have followed the registry; the errors they met."""
        with Registry.open(self.folder / ".mainstay") as registry:
            generation = registry.generation()

            def followed():
                return [m for m in registry.members() if m.pid == self.process.pid and m.generation >= generation]

            return until(followed)[0].errors


@contextmanager
def serving(
    folder: Path,
    *models: tuple[str, Draft],
    options: tuple[str, ...] = (),
    verify: ssl.SSLContext | bool = True,
    command: str = "serve",
    program: tuple[str, ...] = ("-m", "mainstay"),
) -> Iterator[Server]:
    """A server of some models, in a fresh project; `verify` is what certificates are held against, `command` is "up"
    where a controller is to run beside, `program` what Python runs."""
    state = folder / ".mainstay"
    with Registry.open(state) as registry:
        for name, draft in models:
            version = registry.add(name, draft, passed=True, actor="test", summary={})
            registry.deploy(version, expecting=None, actor="test")
    log = folder / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *program, command, "--port", "0", *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        with Registry.open(state) as registry:

            def url():
                assert process.poll() is None, log.read_text()
                return next((m.url for m in registry.members() if m.pid == process.pid and m.generation), None)

            found = until(url, UP_WITHIN) if models else until(url_of(registry, process), UP_WITHIN)
        until(lambda: answers(found, verify), UP_WITHIN)
        yield Server(folder, process, found, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers whose supervisor a test has killed


def url_of(registry: Registry, process: subprocess.Popen[bytes]):
    return lambda: next((m.url for m in registry.members() if m.pid == process.pid), None)


def answers(url: str, verify: ssl.SSLContext | bool = True) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5, verify=verify).status_code == 200
    except httpx.TransportError:
        return False
