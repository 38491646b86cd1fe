"""The supervisor of a server: keeps its workers alive, and is the machine's agent."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from mainstay.serving.access import FILE as KEYS
from mainstay.serving.access import write_grants
from mainstay.serving.draining import end_within
from mainstay.serving.first_table import First
from mainstay.serving.forking import called
from mainstay.serving.handover import Orphans
from mainstay.serving.kept import Kept, end, tell_to_end
from mainstay.serving.listening import Listening, opened, passed
from mainstay.serving.logs import Log
from mainstay.serving.ports import CannotListen, PortTaken, port_is_free, shown
from mainstay.serving.routing import acknowledgements, write_table
from mainstay.serving.runs import WORKER, run_folder
from mainstay.serving.tls import Tls
from mainstay.serving.usage import sample_server

if TYPE_CHECKING:
    from mainstay.serving.agent import Agent, Backing

__all__ = ["CannotListen", "PortTaken", "Settings", "port_is_free", "serve"]

STEP = 0.1
"""Seconds between two looks at the workers."""
FIRST_STEP = 0.02
"""The same, until the first worker is ready."""
BEGUN_WITHIN = 2.0
"""Seconds that the first worker has the processor for itself, where it can begin at once."""


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
    orphaned_for: float = 60.0
    """Seconds that the workers go on where this process is killed: time for another to take the port over."""
    otlp: str | None = None
    """URL of a collector that takes traces."""
    trace_share: float = 1.0
    """Of requests that come without a trace of their caller's."""
    human: bool = False
    """Words rather than JSON lines in the log."""

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"


def serve(
    root: Path,
    settings: Settings,
    backing: Callable[[], AbstractContextManager[Backing]],
    *,
    log: Log,
    first: Callable[[], First | None] | None = None,
    companions: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Serves what the registry says is deployed, until SIGINT or SIGTERM; then drains.

    Args:
        root: the project's state folder; a folder for this run is made in it, and removed at the end.
        backing: opens the registry. Called once the first workers are forked: they load what they need meanwhile, and
            have nothing of a database in their memory or among their open files.
        first: reads the table that workers can begin with before the registry is open; None: there is none.
        companions: commands, by name, of processes that are kept alive beside the workers; each ends at SIGTERM, and
            when its standard input does.

    Raises:
        PortTaken, CannotListen; BadCertificate; and as `backing`.
    """
    if settings.tls is not None:
        settings.tls.check()
    stop = threading.Event()
    with ExitStack() as held:
        held.enter_context(_stopped_by(stop, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)))
        orphans = held.enter_context(Orphans(root, log))
        sockets = [held.enter_context(closing(each)) for each in _listening(settings, orphans)]
        orphans.leave_others()
        listening, grpc = sockets[0], sockets[1] if len(sockets) > 1 else None
        run = held.enter_context(run_folder(root))
        host = shown(settings.host if listening.own else listening.address)
        url = f"{settings.scheme}://{host}:{listening.port}"
        workers: list[_Worker] = []
        beside: dict[str, Kept] = {}
        # At the end of all, should it come before there is an agent to end them with.
        held.callback(_end_at_once, workers, within=end_within(settings.timeout))
        # They are coming up while the agent takes its first steps, and wait for its table.
        for index in range(settings.workers):
            workers.append(_Worker(index, run, sockets, settings))  # noqa: PERF401 - each is kept at once
        begun = None if first is None else _begun(first, run, workers, stop)
        given = held.enter_context(backing())
        from mainstay.registry.local import CACHE  # noqa: PLC0415 - what workers have no need of
        from mainstay.serving.agent import Agent  # noqa: PLC0415

        agent = Agent(
            given,
            run,
            root / CACHE,
            url=url,
            human=settings.human,
            timeout=settings.timeout,
            log=log,
            first=begun,
        )
        sampling = sample_server(
            run,
            root,
            workers=lambda: _alive(workers),
            hosts=agent.hosts.pids,
            companions=lambda: _pids(beside),
            log=log,
        )
        held.enter_context(closing(sampling))
        try:
            agent.start()
            beside |= {name: Kept(name, command) for name, command in (companions or {}).items()}
            ready = announced = False
            while not stop.wait(STEP if ready else FIRST_STEP):
                for each in (*workers, *beside.values()):
                    each.replace_if_dead(log)
                agent.workers = frozenset(worker.process.pid for worker in workers if worker.lives)
                agent.ends = tuple(worker.ends.telling for worker in workers)
                if not ready:
                    said = {each.pid for each in acknowledgements(run)} & agent.workers
                    ready = len(said) == len(workers)
                    if said and not announced:
                        announced = True
                        _announce(agent, url, None if grpc is None else f"{host}:{grpc.port}", log)
                else:
                    orphans.drain()
        finally:
            log("draining", "Ending: requests in flight are answered first.")
            tell_to_end(list(beside.values()))
            _take_no_more(sockets, workers, orphans, told=stop.is_set())
            tell_to_end(workers)
            _give_up(sockets, orphans, told=stop.is_set())
            end([*workers, *beside.values()], within=end_within(settings.timeout))
            agent.close()
            log("ended", "Ended.")


def _begun(
    first: Callable[[], First | None], run: Path, workers: Sequence[_Worker], stop: threading.Event
) -> First | None:
    """Has the workers begin with a first table where there is one, and leaves them the processor until one has."""
    read = first()
    if read is None:
        return None
    try:
        write_grants(run, read.grants)
        write_table(run, read.table)
    except OSError:  # such as a full disk: the agent says so, and tries again
        (run / KEYS).unlink(missing_ok=True)
        return None
    until = time.monotonic() + BEGUN_WITHIN
    while not acknowledgements(run) and any(worker.lives for worker in workers):
        if stop.wait(FIRST_STEP) or time.monotonic() > until:
            break
    return read


def _end_at_once(workers: Sequence[_Worker], *, within: float) -> None:
    """Ends workers that were never given a table."""
    tell_to_end(workers)
    end(workers, within=within)


def _take_no_more(sockets: Sequence[Listening], workers: Sequence[_Worker], orphans: Orphans, *, told: bool) -> None:
    """Turns new callers away; `told` is whether the server was told to end. Where it was not, those whom it was about
    to take over from go on: what ends this process is no fault of theirs."""
    if orphans.left and not told:
        return
    for each in sockets:
        each.finish(lambda: orphans.left or any(worker.lives for worker in workers))
    orphans.drain()


def _give_up(sockets: Sequence[Listening], orphans: Orphans, *, told: bool) -> None:
    """Closes the sockets, and has no worker of a server before keep one open; `told` as for `_take_no_more`."""
    for each in sockets:
        each.close()
    if told:
        orphans.drain_the_late()


def _listening(settings: Settings, orphans: Orphans) -> Iterator[Listening]:
    """The socket for HTTP, and maybe that for gRPC: systemd's, where there are such, else those of the settings."""
    given = passed(os.environ)
    for each in given:
        if (same := orphans.listening(each.address, each.port)) is not None:
            same.close()
        yield each
    if not given:
        yield _at(settings.host, settings.port, orphans)
    if len(given) < 2 and settings.grpc_port is not None:
        yield _at(settings.host, settings.grpc_port, orphans)


def _at(host: str, port: int, orphans: Orphans) -> Listening:
    """A socket that listens there: that of the workers of a server that was killed, or a new one."""
    return orphans.listening(host, port) or opened(host, port)


class _Worker(Kept):
    """A worker process, and the one that takes its place when it dies."""

    def __init__(self, index: int, run: Path, sockets: Sequence[Listening], settings: Settings) -> None:
        """`sockets` are that for HTTP, and maybe that for gRPC."""
        self.index, passed_on = index, [each.socket.fileno() for each in sockets]
        command = [sys.executable, "-m", "mainstay.serving.worker", "--run", str(run), "--index", str(index)]
        command += ["--called", settings.host, "--hosts", *settings.hosts, "--origins", *settings.origins]
        command += ["--max-batch-rows", str(settings.max_batch_rows), "--queue", str(settings.queue)]
        command += ["--timeout", str(settings.timeout), "--trace-share", str(settings.trace_share)]
        command += [] if settings.otlp is None else ["--otlp", settings.otlp]
        if settings.tls is not None:
            command += ["--tls-cert", str(settings.tls.certificate), "--tls-key", str(settings.tls.key)]
        command += ["--sockets", *map(str, passed_on), "--max-body", str(settings.max_body)]
        command += ["--workers", str(settings.workers), "--orphaned-for", str(settings.orphaned_for)]
        command += ["--log", "human" if settings.human else "json"]
        # The first one is forked from here, by which what both need is loaded once.
        first = partial(_work, command[3:])
        super().__init__("worker", command, name=str(index), pass_fds=passed_on, first=first, worker=index)


def _work(words: Sequence[str]) -> None:
    """Is a worker, in a fork of this process."""
    called(WORKER)
    from mainstay.serving import worker  # noqa: PLC0415 - granian and ONNX Runtime are loaded in workers alone

    worker.main(words)


def _alive(workers: Sequence[_Worker]) -> dict[int, int]:
    """The process ids of workers, by number; may be asked from another thread."""
    return {worker.index: worker.process.pid for worker in list(workers) if worker.process.returncode is None}


def _pids(kept: Mapping[str, Kept]) -> dict[str, int]:
    """As `_alive`, of other processes, by name."""
    return {name: each.process.pid for name, each in list(kept.items()) if each.process.returncode is None}


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

    # What is ignored stays so: nohup wants a server that outlives its terminal.
    heeded = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, heard) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
