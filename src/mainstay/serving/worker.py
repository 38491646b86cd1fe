"""A worker process: answers HTTP on the server's port. The supervisor runs it as `python -m mainstay.serving.worker`,
or as a fork of itself where it is the first.

All workers accept from one listening socket, which they inherit. A worker accepts once the versions of the routing
table have answered their golden predictions, and drains at SIGTERM. When its standard input ends, its supervisor is
gone: it goes on for a while, in which another may take the socket over (`handover`).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from mainstay.serving import metrics
from mainstay.serving.app import App, follow
from mainstay.serving.batching import Bounds
from mainstay.serving.door import Door
from mainstay.serving.draining import drain_within
from mainstay.serving.entering import left_to_others, lives
from mainstay.serving.follower import LOOK_EVERY, Follower
from mainstay.serving.forking import called
from mainstay.serving.front import Front
from mainstay.serving.guard import Guard
from mainstay.serving.handover import Offer
from mainstay.serving.logs import Log, logger, take_over
from mainstay.serving.memory import keep_pages
from mainstay.serving.models import Queues
from mainstay.serving.routing import acknowledgements
from mainstay.serving.runs import WORKER, works_in
from mainstay.serving.tls import Tls
from mainstay.serving.traces import Tracer

if TYPE_CHECKING:
    from mainstay.serving.grpc.running import Running
    from mainstay.serving.otlp import Exporter

REBALANCED_AFTER = 1000
"""Answers after which a worker closes a connection, where there are other workers: whoever has the least to do takes it
when it comes again. Else callers who all came at once could stay with one worker for ever."""
FIRST_LOOK = 0.005
"""Seconds between two looks for the first table."""


async def work(given: argparse.Namespace) -> None:
    """Answers until SIGTERM, or until the supervisor has been gone for so long that nobody takes over."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    log = logger(human=given.log == "human")
    take_over(log)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach the whole group, and the supervisor decides
        loop.add_signal_handler(number, lambda: None)
    works_in(given.run)
    listening, *others = sockets = [socket.socket(fileno=number) for number in given.sockets]
    loop.add_reader(sys.stdin.fileno(), _read_input, given, sockets, stop, log)
    folder = given.run / metrics.FOLDER
    folder.mkdir(exist_ok=True)
    slots = metrics.Slots(folder / f"{given.index}.slots")
    bounds = Bounds(rows=given.max_batch_rows, queue=given.queue)
    queues = Queues(bounds=bounds, watch=partial(metrics.Queued, slots), timeout=given.timeout)
    follower = Follower(given.run, worker=given.index, log=log, queues=queues, workers=given.workers)
    guard = Guard(given.run, log=log)
    while not (follower.table and guard.knows) and not stop.is_set():
        guard.look()
        await follower.catch_up()
        await asyncio.sleep(FIRST_LOOK)
    await _left_to_others(follower, stop, log)
    if stop.is_set():
        return
    grpc = _grpc(given.max_body) if others else None
    spoken = () if grpc is None else (grpc.dialect,)
    door = Door(
        loopback=ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback,
        own=(given.called, socket.gethostname()),
        hosts=given.hosts,
        origins=given.origins,
        is_open=lambda: guard.open,
    )
    app = App(
        follower,
        slots,
        guard,
        door,
        run=given.run,
        max_body=given.max_body,
        log=log,
        timeout=given.timeout,
        beside=spoken,
    )
    exporter = None if given.otlp is None else _traced(app, given, slots, log)
    if given.workers > 1:
        app.close_one_in(REBALANCED_AFTER)

    tls = None if given.tls_cert is None else Tls(given.tls_cert, given.tls_key)
    show = _nothing if grpc is None else grpc.show
    front = Front(app, listening, tls=tls, log=log)
    beside = [asyncio.create_task(each) for each in (follow(app), guard.keep_up(), app.reader.watch())]
    answering = await front.start(show, stop)
    if answering is None:
        return
    stopping = asyncio.create_task(stop.wait())
    beside.append(asyncio.create_task(front.watch(show)))
    if grpc is not None:
        grpc.start(app, others[0])
    await asyncio.wait({answering, stopping}, return_when=asyncio.FIRST_COMPLETED)
    app.part()
    draining = None if grpc is None else asyncio.create_task(grpc.drain(drain_within(given.timeout)))
    if not answering.done():
        await front.drain(lambda: app.answers, others, within=drain_within(given.timeout))
    if draining is not None:
        await draining
    for task in (*beside, stopping):
        task.cancel()
    await app.desk.columnar.close()
    if exporter is not None:
        await asyncio.to_thread(exporter.close)


async def _left_to_others(follower: Follower, stop: asyncio.Event, log: Log) -> None:
    """Waits while other workers can answer for what this one cannot load."""
    told: list[str] = []
    while not stop.is_set():
        said = acknowledgements(follower.run)
        left = left_to_others(follower.errors, follower.serving, said, own=os.getpid(), lives=lives)
        if not left:
            return
        if left != told:
            names = ", ".join(left)
            log("waits", f"Worker {follower.worker} takes no requests: others can answer for {names}.", level="warning")
            told = left
        await asyncio.sleep(LOOK_EVERY)
        await follower.catch_up()


def _traced(app: App, given: argparse.Namespace, slots: metrics.Slots, log: Log) -> Exporter:
    """Has requests traced from now on."""
    from mainstay.serving.otlp import Exporter  # noqa: PLC0415 - most servers trace nothing, and start sooner

    exporter = Exporter(given.otlp, metrics.Spans(slots), log)
    app.plane.tracer = Tracer(exporter.put, share=given.trace_share)
    return exporter


def _nothing(tls: Tls) -> None:
    """Shows a certificate nowhere else."""


def _grpc(max_body: int) -> Running:
    from mainstay.serving.grpc.running import Running  # noqa: PLC0415 - costs memory that few servers need

    return Running(max_body=max_body)


def _read_input(given: argparse.Namespace, sockets: list[socket.socket], stop: asyncio.Event, log: Log) -> None:
    if os.read(sys.stdin.fileno(), 4096):
        return
    loop = asyncio.get_running_loop()
    loop.remove_reader(sys.stdin.fileno())
    if stop.is_set() or not given.orphaned_for:
        stop.set()
        return
    told = "another mainstay serve here takes the port over"
    try:
        Offer(given.run, given.index, sockets, stop.set, within=given.orphaned_for)
    except OSError as error:
        told = f"nobody can take the port over ({error.strerror})"
        loop.call_later(given.orphaned_for, stop.set)
    log(
        "orphaned",
        f"The supervisor is gone: worker {given.index} goes on for {given.orphaned_for:g} s, in which {told}.",
        level="warning",
        worker=given.index,
    )


def main(words: Sequence[str] | None = None) -> None:
    """The command line of a worker process; `words` stand in for those that it was started with."""
    parser = argparse.ArgumentParser(prog="python -m mainstay.serving.worker")
    parser.add_argument("--run", type=Path, required=True, help="folder of the routing table")
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--called", required=True, help="the host as the operator named it")
    parser.add_argument("--hosts", nargs="*", default=())
    parser.add_argument("--origins", nargs="*", default=())
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--workers", type=int, required=True, help="how many there are")
    parser.add_argument("--sockets", type=int, nargs="+", required=True, help="file descriptors: HTTP's, then gRPC's")
    parser.add_argument("--orphaned-for", type=float, required=True, help="seconds to go on without a supervisor")
    parser.add_argument("--max-body", type=int, required=True)
    parser.add_argument("--max-batch-rows", type=int, required=True)
    parser.add_argument("--queue", type=int, required=True)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--otlp", help="URL of a collector of traces")
    parser.add_argument("--trace-share", type=float, default=1.0)
    parser.add_argument("--log", choices=("json", "human"), required=True)
    keep_pages()
    given = parser.parse_args(words)
    called(WORKER)
    # What is loaded by now stays: to look through it for circles again and again would only cost time, and pages that
    # a fork shares with the supervisor. The numbers are Python's own; a fork has those of a command that starts.
    gc.freeze()
    gc.set_threshold(700, 10, 10)
    uvloop.run(work(given))


if __name__ == "__main__":
    main()
