"""A worker's HTTP server: granian on the listening socket; another one in its place when the certificate is renewed.

granian reads a certificate once. So a renewed one is shown by a second server on the same socket, which begins to
accept before the first one ceases to. Connections of the first go on, end with their next answer, and are closed when
they have been idle for as long as any may be. Nothing that is loaded is loaded again, and nobody is refused.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ssl import SSLError

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings

from mainstay.serving.accepting import InheritedServer, most_connections, quiet
from mainstay.serving.app import App, Proto, Scope
from mainstay.serving.logs import Log
from mainstay.serving.tls import BadCertificate, Tls
from mainstay.serving.way_out import Changed, closing

IDLE_FOR = 60.0
"""Seconds for which a connection may be silent."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the files of the certificate."""


class _Face:
    """The app, as one of the servers sees it."""

    def __init__(self, app: App) -> None:
        self._app, self.over = app, False
        self.__rsgi_init__ = app.__rsgi_init__

    def __rsgi__(self, scope: Scope, proto: Proto) -> Awaitable[None]:
        return self._app.__rsgi__(scope, Changed(proto, closing) if self.over else proto)


@dataclass(frozen=True, eq=False)
class _Running:
    server: InheritedServer
    face: _Face
    task: asyncio.Task[None]


class Front:
    """Answers on one listening socket until it is drained."""

    def __init__(self, app: App, listening: socket.socket, *, tls: Tls | None, log: Log) -> None:
        self._app, self._listening, self._tls, self._log = app, listening, tls, log
        self._most = most_connections()
        self._former: dict[_Running, asyncio.Task[None]] = {}
        self._now: _Running | None = None
        self._shown: object = None
        """What the files of the certificate were marked by when it was read."""

    async def start(self, shown: Callable[[Tls], None], stop: asyncio.Event) -> asyncio.Task[None] | None:
        """Answers from now on; the task ends where the server does. Of a worker that starts while its certificate and
        key are being replaced, it is waited for until the two belong together: without, it would only die.

        Args:
            stop: it is set when the worker is to end; then this gives None.
            shown: told of the certificate, as others of the worker are to show it too; raises SSLError for a bad one.
        """
        told = False
        while self._now is None and not stop.is_set():
            try:
                if self._tls is not None:
                    self._tls.check()
                    shown(self._tls)
                self._now = self._begun()
            except (SSLError, BadCertificate) as error:
                if not told:
                    self._log("certificate", f"A worker waits for its certificate: {error}", level="warning")
                told = True
                await asyncio.sleep(LOOK_EVERY / 4)
        return None if self._now is None else self._now.task

    async def watch(self, shown: Callable[[Tls], None]) -> None:
        """Once started, shows a renewed certificate as soon as its files belong together; runs for ever."""
        if self._tls is None:
            return
        refused = None
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                found = self._tls.mark()
                if found == self._shown:
                    continue
                self._tls.check()
                self._renew()
                shown(self._tls)
            except (OSError, BadCertificate) as error:
                if refused != str(error):
                    self._log("certificate", f"The new certificate is not shown: {error}", level="warning")
                refused = str(error)
                continue
            refused = None
            self._log("certificate", f"The certificate {self._tls.certificate} is shown as it is now.")

    async def drain(self, answers: Callable[[], int], beside: Iterable[socket.socket], *, within: float) -> None:
        """Accepts no more, and has whom it let in answered.

        Args:
            answers: how many requests have been answered, ever; the app has said that it parts.
            beside: other listening sockets of the worker, from which nothing is accepted any more: closed in between.
            within: seconds.
        """
        loop = asyncio.get_running_loop()
        over, port = loop.time() + within, self._listening.getsockname()[1]
        for waiting in self._former.values():
            waiting.cancel()
        running = [*self._former, *([] if self._now is None else [self._now])]
        for each in running:
            each.server.accept_no_more()
        self._listening.close()
        await quiet(port, answers)
        for other in beside:
            other.close()
        for each in running:
            each.server.stop()  # type: ignore[no-untyped-call] # granian gives it no types
        await asyncio.wait({each.task for each in running}, timeout=over - loop.time())

    def _begun(self) -> _Running:
        face = _Face(self._app)
        self._shown = None if self._tls is None else self._tls.mark()  # before it is read: a change is seen later
        server = InheritedServer(
            self._app if self._tls is None else face,
            # Not `dup`, which makes the socket a blocking one: in every worker, since all share it.
            socket.socket(fileno=os.dup(self._listening.fileno())),
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,  # of both, only this closes silent sockets
            http1_settings=HTTP1Settings(header_read_timeout=int(IDLE_FOR * 1000)),
            websockets=False,
            backpressure=self._most,
            log_enabled=False,
            ssl_cert=None if self._tls is None else self._tls.certificate,
            ssl_key=None if self._tls is None else self._tls.key,
            ssl_protocol_min=SSLProtocols.tls12,
        )
        return _Running(server, face, asyncio.create_task(server.serve()))

    def _renew(self) -> None:
        former, self._now = self._now, self._begun()
        if former is not None:
            self._former[former] = asyncio.create_task(self._let_go(former))

    async def _let_go(self, former: _Running) -> None:
        await asyncio.sleep(LOOK_EVERY)  # by now, the other one accepts
        former.server.accept_no_more()
        former.face.over = True
        await asyncio.sleep(IDLE_FOR + LOOK_EVERY)
        former.server.stop()  # type: ignore[no-untyped-call] # granian gives it no types
        await asyncio.wait({former.task})
        del self._former[former]
