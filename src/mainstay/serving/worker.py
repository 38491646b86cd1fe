"""A worker process: answers HTTP on the server's port. The supervisor runs it as `python -m mainstay.serving.worker`.

Several workers share one port (SO_REUSEPORT). A worker listens once the versions of the routing table have answered
their golden predictions; it drains at SIGTERM, and when its standard input ends: it never outlives its supervisor.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import uvloop
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.server.embed import Server

from mainstay.serving import metrics
from mainstay.serving.app import App, follow
from mainstay.serving.batching import Bounds
from mainstay.serving.door import Door
from mainstay.serving.follower import Follower
from mainstay.serving.guard import Guard
from mainstay.serving.logs import logger, take_over
from mainstay.serving.models import Queues

CONNECTIONS = 16_384
"""Connections a worker keeps; granian's own bound would let a thousand idle ones shut everybody out."""
FIRST_LOOK = 0.005
"""Seconds between two looks for the first table."""
DRAIN_WITHIN = 25.0
"""Seconds that requests in flight have to end once the worker is told to."""


async def work(given: argparse.Namespace) -> None:
    """Answers until SIGTERM, or until the standard input ends."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    log = logger(human=given.log == "human")
    take_over(log)
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches the whole group; the supervisor decides
    loop.add_reader(sys.stdin.fileno(), _read_input, loop, stop)
    folder = given.run / metrics.FOLDER
    folder.mkdir(exist_ok=True)
    slots = metrics.Slots(folder / f"{given.index}.slots")
    bounds = Bounds(rows=given.max_batch_rows, queue=given.queue)
    queues = Queues(bounds=bounds, watch=partial(metrics.Queued, slots))
    follower = Follower(given.run, worker=given.index, log=log, queues=queues)
    guard = Guard(given.run, log=log)
    while not (follower.table and guard.knows) and not stop.is_set():
        guard.look()
        await follower.catch_up()
        await asyncio.sleep(FIRST_LOOK)
    if stop.is_set():
        return
    grpc = None
    if given.grpc_socket is not None:
        from mainstay.serving.grpc.running import Running  # noqa: PLC0415 - costs memory that few servers need

        grpc = Running(max_body=given.max_body)
    spoken = () if grpc is None else (grpc.dialect,)
    door = Door(
        loopback=ip_address(given.host).is_loopback,
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
    server = Server(
        app,
        address=given.host,
        port=given.port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,  # of both, only this closes silent sockets
        http1_settings=HTTP1Settings(header_read_timeout=60_000),
        websockets=False,
        backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
        log_enabled=False,
        ssl_cert=given.tls_cert,
        ssl_key=given.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
    )
    beside = [asyncio.create_task(each) for each in (follow(app), guard.keep_up(), app.reader.watch())]
    if grpc is not None:
        grpc.start(app, socket.socket(fileno=given.grpc_socket), cert=given.tls_cert, key=given.tls_key)
    answering = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({answering, stopping}, return_when=asyncio.FIRST_COMPLETED)
    app.desk.draining = True
    draining = None if grpc is None else asyncio.create_task(grpc.drain(DRAIN_WITHIN))
    for task in beside:
        task.cancel()
    if not answering.done():
        server.stop()  # type: ignore[no-untyped-call] # granian gives it no types
        await asyncio.wait({answering}, timeout=DRAIN_WITHIN)
    if draining is not None:
        await draining
    stopping.cancel()
    await app.desk.columnar.close()


def _read_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()


def main() -> None:
    """The command line of a worker process."""
    parser = argparse.ArgumentParser(prog="python -m mainstay.serving.worker")
    parser.add_argument("--run", type=Path, required=True, help="folder of the routing table")
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--called", required=True, help="the host as the operator named it")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--hosts", nargs="*", default=())
    parser.add_argument("--origins", nargs="*", default=())
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--grpc-socket", type=int, help="file descriptor of the listening socket for gRPC")
    parser.add_argument("--max-body", type=int, required=True)
    parser.add_argument("--max-batch-rows", type=int, required=True)
    parser.add_argument("--queue", type=int, required=True)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--log", choices=("json", "human"), required=True)
    uvloop.run(work(parser.parse_args()))


if __name__ == "__main__":
    main()
