"""The supervisor of a server: keeps its workers alive, and is the machine's agent."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from mainstay.errors import MachineError
from mainstay.serving.agent import Agent, Facts
from mainstay.serving.logs import Log

STEP = 0.1
"""Seconds between two steps of the agent."""
FIRST_STEP = 0.02
"""The same, until the first worker listens."""
CRASH_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before a worker that died is replaced; twice as long each time it dies young."""
YOUNG = 10.0
"""Seconds of life before which a death counts as a crash at start."""
DRAIN_WITHIN = 30.0
"""Seconds that workers have to end."""


class PortTaken(MachineError):
    """Somebody listens there already."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        super().__init__(f"Port {port} on {host} is in use: stop what listens there, or choose another with --port.")


class CannotListen(MachineError):
    """The address is none of this machine, or the port needs rights."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a server runs."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free one."""
    workers: int = 1
    max_body: int = 20_000_000
    """Bytes."""
    human: bool = False
    """Words rather than JSON lines in the log."""


@dataclass
class _Worker:
    index: int
    process: subprocess.Popen[bytes]
    begun: float = field(default_factory=time.monotonic)
    deaths: int = 0
    again_at: float | None = None


def serve(registry: Facts, root: Path, settings: Settings, *, trusted: Sequence[str], log: Log) -> None:
    """Serves what the registry says is deployed, until SIGINT or SIGTERM; then drains.

    Args:
        registry: open.
        root: the project's state folder; a folder for this run is made in it, and removed at the end.
        trusted: types that native models may hold, as the operator says.

    Raises:
        PortTaken, CannotListen.
    """
    with _reserved(settings) as port, _run_folder(root) as run:
        url = f"http://{_shown(settings.host)}:{port}"
        agent = Agent(registry, run, url=url, trusted=trusted, log=log)
        stop = threading.Event()
        with _stopped_by(stop, (signal.SIGINT, signal.SIGTERM)):
            agent.step(())
            while agent.generation is None and not stop.wait(STEP):
                agent.step(())  # a host is starting, or the registry is away
            workers = [_Worker(index, _start(run, index, port, settings)) for index in range(settings.workers)]
            try:
                listening = False
                while not stop.wait(STEP if listening else FIRST_STEP):
                    if not listening and (listening := _listens(settings.host, port)):
                        _announce(agent, url, log)
                    _replace_the_dead(workers, run, port, settings, log)
                    agent.step({worker.process.pid for worker in workers if worker.process.poll() is None})
            finally:
                log("draining", "Ending: requests in flight are answered first.")
                _end(workers)
                agent.close()
                log("ended", "Ended.")


def _listens(host: str, port: int) -> bool:
    """Whether a worker takes connections."""
    try:
        with socket.create_connection((_shown(host).strip("[]"), port), timeout=1.0):
            return True
    except OSError:
        return False


def _announce(agent: Agent, url: str, log: Log) -> None:
    served = agent.serving()
    what = f"Serving {', '.join(served)}" if served else "Nothing is deployed yet (mainstay deploy VERSION); listening"
    log("serving", f"{what} at {url} - a page for people at /, the API at /docs, /metrics.", url=url, versions=served)


def port_is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        with _reserved(Settings(host=host, port=port)):
            return True
    except MachineError:
        return False


@contextmanager
def _reserved(settings: Settings) -> Iterator[int]:
    """The port, held by a socket that does not listen, so that nobody else takes it between two workers."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
            port = int(probe.getsockname()[1])
            if settings.port:
                probe.listen(1)  # with SO_REUSEADDR, only this tells that another one listens
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno is None:
            raise CannotListen(f"{settings.host!r} is no address of this machine: give another --host.") from error
        if error.errno == 98:  # EADDRINUSE
            raise PortTaken(settings.host, settings.port) from error
        raise CannotListen(
            f"Cannot listen on {settings.host}:{settings.port} ({error.strerror}): give another --host or --port."
        ) from error
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((settings.host, port))
        yield port


@contextmanager
def _run_folder(root: Path) -> Iterator[Path]:
    folder = root / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as run:
        yield Path(run)


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


def _start(run: Path, index: int, port: int, settings: Settings) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mainstay.serving.worker", "--run", str(run), "--index", str(index)]
    command += ["--host", settings.host, "--port", str(port), "--max-body", str(settings.max_body)]
    command += ["--log", "human" if settings.human else "json"]
    # Its standard input is a pipe from here: it ends when this process does, however that happens.
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def _replace_the_dead(workers: Sequence[_Worker], run: Path, port: int, settings: Settings, log: Log) -> None:
    now = time.monotonic()
    for worker in workers:
        if worker.process.poll() is None:
            continue
        if worker.again_at is None:
            worker.deaths = worker.deaths + 1 if now - worker.begun < YOUNG else 0
            pause = 0.0 if worker.deaths == 0 else min(CRASH_PAUSE * 2**worker.deaths, LONGEST_PAUSE)
            worker.again_at = now + pause
            log(
                "worker_died",
                f"Worker {worker.index} ended (exit code {worker.process.returncode}); it is replaced.",
                level="error",
                worker=worker.index,
            )
        if now >= worker.again_at:
            _close_pipe(worker.process)
            worker.process, worker.begun, worker.again_at = _start(run, worker.index, port, settings), now, None


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.process.terminate()
    until = time.monotonic() + DRAIN_WITHIN
    for worker in workers:
        try:
            worker.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        _close_pipe(worker.process)


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
