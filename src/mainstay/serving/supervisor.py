"""The supervisor of a server: keeps its workers alive, and is the machine's agent."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from mainstay.registry.local import CACHE
from mainstay.serving.admission import Signers
from mainstay.serving.agent import Agent, Facts
from mainstay.serving.launch import Allowed
from mainstay.serving.logs import Log
from mainstay.serving.management import Manage
from mainstay.serving.ports import CannotListen, PortTaken, listens, port_is_free, reserved, shown
from mainstay.serving.runs import run_folder
from mainstay.serving.tls import Tls

__all__ = ["CannotListen", "PortTaken", "Settings", "port_is_free", "serve"]

STEP = 0.1
"""Seconds between two looks at the workers."""
FIRST_STEP = 0.02
"""The same, until the first worker listens."""
CRASH_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before a worker that died is replaced; twice as long each time it dies young."""
YOUNG = 10.0
"""Seconds of life before which a death counts as a crash at start."""
DRAIN_WITHIN = 30.0
"""Seconds that workers have to end."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a server runs."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free one."""
    grpc_port: int | None = None
    """The same, for gRPC; None: it is not spoken."""
    workers: int = 1
    max_body: int = 20_000_000
    """Bytes."""
    hosts: tuple[str, ...] = ()
    """Names that the server is called by, beside addresses and localhost."""
    origins: tuple[str, ...] = ()
    """Web pages of others that may ask it, such as "https://ml.example.org"."""
    max_batch_rows: int = 128
    """Rows of several requests that a model is asked at once; 1: no two are asked together."""
    queue: int = 256
    """Requests that wait for a version, in each worker."""
    timeout: float = 30.0
    """Seconds that a request may take, unless it says less."""
    tls: Tls | None = None
    """What the server shows itself with, to whoever asks over https; None: it speaks http."""
    human: bool = False
    """Words rather than JSON lines in the log."""

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"


def serve(
    registry: Facts,
    root: Path,
    settings: Settings,
    *,
    allowed: Callable[[], Allowed],
    log: Log,
    signers: Signers = tuple,
    manage: Manage | None = None,
) -> None:
    """Serves what the registry says is deployed, until SIGINT or SIGTERM; then drains.

    Args:
        registry: open.
        root: the project's state folder; a folder for this run is made in it, and removed at the end.
        allowed: what the operator lets host processes do; asked whenever one is started.
        signers: asked again and again for the public keys of which one must have signed a version; none: nobody need.
        manage: brings about what callers ask to have changed, in threads of its own; None: nothing is.

    Raises:
        PortTaken, CannotListen; BadCertificate.
    """
    if settings.tls is not None:
        settings.tls.check()
    stop = threading.Event()
    with (
        reserved(settings.host, settings.port) as (address, port),
        _opened(settings.host, settings.grpc_port) as grpc,
        run_folder(root) as run,
        _stopped_by(stop, (signal.SIGINT, signal.SIGTERM)),
    ):
        url = f"{settings.scheme}://{shown(settings.host)}:{port}"
        workers: list[_Worker] = []
        agent = Agent(
            registry,
            run,
            root / CACHE,
            url=url,
            allowed=allowed,
            human=settings.human,
            log=log,
            signers=signers,
            manage=manage,
        )
        try:
            # They are coming up while the agent takes its first steps, and wait for its table.
            for index in range(settings.workers):
                workers.append(_Worker(index, run, address, port, settings, grpc=grpc))  # noqa: PERF401 - each is kept at once
            agent.start()
            listening = False
            while not stop.wait(STEP if listening else FIRST_STEP):
                if not listening and (listening := listens(address, port)):
                    _announce(agent, url, None if grpc is None else _grpc_address(settings.host, grpc), log)
                for worker in workers:
                    worker.replace_if_dead(log)
                agent.workers = frozenset(worker.process.pid for worker in workers if worker.lives)
        finally:
            log("draining", "Ending: requests in flight are answered first.")
            _end(workers)
            agent.close()
            log("ended", "Ended.")


class _Worker:
    """A worker process, and the one that takes its place when it dies."""

    def __init__(
        self, index: int, run: Path, address: str, port: int, settings: Settings, *, grpc: socket.socket | None
    ) -> None:
        self.index = index
        self._command = [sys.executable, "-m", "mainstay.serving.worker", "--run", str(run), "--index", str(index)]
        self._command += ["--host", address, "--port", str(port), "--max-body", str(settings.max_body)]
        self._command += ["--called", settings.host, "--hosts", *settings.hosts, "--origins", *settings.origins]
        self._command += ["--max-batch-rows", str(settings.max_batch_rows), "--queue", str(settings.queue)]
        self._command += ["--timeout", str(settings.timeout)]
        if settings.tls is not None:
            self._command += ["--tls-cert", str(settings.tls.certificate), "--tls-key", str(settings.tls.key)]
        self._command += ["--log", "human" if settings.human else "json"]
        self._passed = () if grpc is None else (grpc.fileno(),)
        self._command += [part for number in self._passed for part in ("--grpc-socket", str(number))]
        self._deaths = 0
        self._again_at: float | None = None
        self._start()

    def _start(self) -> None:
        # Its standard input is a pipe from here: it ends when this process does, however that happens.
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, pass_fds=self._passed)
        self._begun, self._again_at = time.monotonic(), None

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def replace_if_dead(self, log: Log) -> None:
        """At once, but for one that dies young again and again."""
        if self.lives:
            return
        now = time.monotonic()
        if self._again_at is None:
            self._deaths = self._deaths + 1 if now - self._begun < YOUNG else 0
            pause = min(CRASH_PAUSE * 2 ** min(self._deaths, 10), LONGEST_PAUSE) if self._deaths else 0.0
            self._again_at = now + pause
            log(
                "worker_died",
                f"Worker {self.index} ended (exit code {self.process.returncode}); it is replaced.",
                level="error",
                worker=self.index,
            )
        if now >= self._again_at:
            self.close_pipe()
            self._start()

    def close_pipe(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()


@contextmanager
def _opened(host: str, port: int | None) -> Iterator[socket.socket | None]:
    """The listening socket for gRPC, which all workers inherit; None where it is not asked for."""
    if port is None:
        yield None
        return
    with reserved(host, port) as (address, number):
        pass
    with socket.create_server((address, number), backlog=1024) as made:
        yield made


def _grpc_address(host: str, listening: socket.socket) -> str:
    return f"{shown(host)}:{listening.getsockname()[1]}"


def _announce(agent: Agent, url: str, grpc: str | None, log: Log) -> None:
    refused = agent.refused()
    served = agent.answering()
    what = f"Serving {', '.join(served)}" if served else "Nothing is deployed yet (mainstay deploy VERSION); listening"
    if refused:
        what = f"{what if served else 'Listening'} (not answering: {', '.join(sorted(refused))}; see above)"
    at = url if grpc is None else f"{url} and gRPC at {grpc}"
    more = "a page for people at /, the API at /docs, /metrics"
    log("serving", f"{what} at {at} - {more}.", url=url, grpc=grpc, versions=served)


@contextmanager
def _stopped_by(stop: threading.Event, signals: Sequence[signal.Signals]) -> Iterator[None]:
    def heard(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, heard) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        if worker.lives:
            worker.process.terminate()
    until = time.monotonic() + DRAIN_WITHIN
    for worker in workers:
        try:
            worker.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        worker.close_pipe()
