"""The gRPC side of a worker: accepts from a socket that all workers share, answers, and drains."""

from __future__ import annotations

import asyncio
import socket
import ssl

from mainstay.serving.app import App
from mainstay.serving.grpc.dialect import Grpc
from mainstay.serving.grpc.messages import Messages
from mainstay.serving.grpc.port import INTRODUCED_WITHIN, Port
from mainstay.serving.grpc.service import Service
from mainstay.serving.tls import Tls

NO_FILES_PAUSE = 0.5
"""Seconds for which nothing is accepted after the system had no room for a connection."""


class Running:
    """Made before the app, which finds the targets of its dialect; started once the app answers."""

    def __init__(self, *, max_body: int) -> None:
        self.dialect = Grpc(Messages())
        self._max_body = max_body
        self._port: Port | None = None
        self._listening: socket.socket | None = None
        self._secured: ssl.SSLContext | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, app: App, listening: socket.socket) -> None:
        """Accepts from now on; with TLS, of version 1.2 at least, where it was to show a certificate."""
        self._port = Port(Service(app, self.dialect), max_body=self._max_body)
        listening.setblocking(False)
        self._listening = listening
        self._keep(asyncio.get_running_loop().create_task(self._port.watch()))
        self._accept_again()

    def show(self, tls: Tls) -> None:
        """Shows this certificate to whoever connects from now on."""
        secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secured.minimum_version = ssl.TLSVersion.TLSv1_2
        secured.load_cert_chain(tls.certificate, tls.key)
        secured.set_alpn_protocols(["h2"])
        self._secured = secured

    async def drain(self, within: float) -> None:
        """Accepts no more, answers what is in flight for at most so many seconds, and closes every connection."""
        if self._port is None or self._listening is None:
            return
        asyncio.get_running_loop().remove_reader(self._listening)
        self._listening = None
        await self._port.drain(within)
        for task in self._tasks:
            task.cancel()

    def _accept_again(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().add_reader(self._listening, self._accept, self._listening)

    def _accept(self, listening: socket.socket) -> None:
        """Accepts one, and no more: the others are for whichever worker looks next."""
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker has it, or it is gone again
        except OSError:  # no files are left, or no memory: it would be asked again at once
            loop.remove_reader(listening)
            loop.call_later(NO_FILES_PAUSE, self._accept_again)
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._keep(loop.create_task(self._connect(accepted)))

    async def _connect(self, accepted: socket.socket) -> None:
        assert self._port is not None
        within = None if self._secured is None else INTRODUCED_WITHIN
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._port.protocol, accepted, ssl=self._secured, ssl_handshake_timeout=within
            )
        except (OSError, ssl.SSLError):
            accepted.close()  # it was gone before it was there, or speaks no TLS

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
