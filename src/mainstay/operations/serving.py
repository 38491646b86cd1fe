"""`mainstay serve`: answers over HTTP with what is deployed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.operations.home import operator_file, state_of
from mainstay.project import FILE, Place, Serve, load
from mainstay.registry.disk import DATABASE
from mainstay.registry.errors import NoRegistry
from mainstay.serving.first_table import first_table
from mainstay.serving.logs import Log, logger
from mainstay.serving.supervisor import Settings
from mainstay.serving.supervisor import serve as supervise
from mainstay.serving.tls import BadCertificate, Tls

if TYPE_CHECKING:
    from mainstay.serving.agent import Backing


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay serve` says once it takes requests."""

    url: str
    grpc: str | None = None
    """Host and port of gRPC, where it is spoken."""
    pid: int
    versions: list[str]


def serve(
    folder: Path,
    *,
    host: str | None,
    port: int | None,
    grpc_port: int | None = None,
    workers: int | None,
    trust: Path | None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    with_parent: bool = False,
    controller: bool = False,
    told: Callable[[Serving], None] | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM; what is not given is as the project file says, where there is one.

    Args:
        trust: file of the types that native models may hold; see `trust.trusted_types`.
        tls_cert: file (PEM) of the certificate to speak https with, and `tls_key` of its key; each seen from here.
        with_parent: end too when standard input is closed.
        controller: run a controller of rollouts beside, which is kept alive.
        told: called once, when requests are taken.

    Raises:
        NoRegistry: nothing was ever registered here.
        PortTaken, CannotListen, BadCertificate; ProjectError; BadOperatorFile, BadKey, MissingExtra.
    """
    project = load(folder) if (folder / FILE).exists() else None
    said = Serve() if project is None else project.serve
    human = sys.stderr.isatty()
    settings = Settings(
        host=said.host if host is None else host,
        port=said.port if port is None else port,
        grpc_port=said.grpc_port if grpc_port is None else grpc_port,
        workers=said.workers if workers is None else workers,
        max_body=said.max_body,
        hosts=said.hosts,
        origins=said.origins,
        max_batch_rows=said.max_batch_rows,
        queue=said.queue,
        timeout=said.timeout,
        tls=_tls(folder, said, tls_cert, tls_key),
        orphaned_for=said.orphaned_for,
        otlp=said.otlp,
        trace_share=said.trace_share,
        human=human,
    )
    root = state_of(folder)
    elsewhere = Place() if project is None else project.registry
    if elsewhere.url is None and not (root / DATABASE).exists():
        raise NoRegistry(root.absolute())  # before anything is made
    log = logger(human=human)
    # With files or rules of the operator's, or a registry elsewhere, nothing is served before these are read.
    ordinary = elsewhere == Place() and trust is None and not _asks(folder)

    def backing() -> AbstractContextManager[Backing]:
        from mainstay.operations.backing import backed  # noqa: PLC0415 - workers are forked without any of it

        return backed(folder, host=settings.host, trust=trust, log=log)

    supervise(
        root,
        settings,
        backing,
        first=partial(first_table, root) if ordinary else None,
        log=_telling(log, told, with_parent=with_parent),
        companions={"controller": _controller(folder)} if controller else {},
    )


def _asks(folder: Path) -> bool:
    """Whether the operator of this machine has written anything."""
    path, named = operator_file(folder)
    return named or path.exists()


def _controller(folder: Path) -> list[str]:
    """The command of a controller of this folder's rollouts, which ends when its standard input does."""
    return [sys.executable, "-m", "mainstay.operations.controlling", str(folder.absolute())]


def _tls(folder: Path, said: Serve, certificate: Path | None, key: Path | None) -> Tls | None:
    """The files of the command line, else those of the project file, seen from its folder. Raises BadCertificate."""
    if certificate is None and key is None:
        certificate = None if said.tls_cert is None else folder / said.tls_cert
        key = None if said.tls_key is None else folder / said.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise BadCertificate("A certificate and its key go together: name both, --tls-cert and --tls-key.")
    return Tls(certificate.absolute(), key.absolute())


def _telling(log: Log, told: Callable[[Serving], None] | None, *, with_parent: bool) -> Log:
    """The log, which also tells that the server serves, and from then on watches the parent where it should."""

    def both(kind: str, message: str, **facts: Any) -> None:
        log(kind, message, **facts)
        if kind != "serving":
            return
        if with_parent:  # not before: until now, a SIGTERM might not have been heard
            threading.Thread(target=_end_with_input, name="parent", daemon=True).start()
        if told is not None:
            told(Serving(url=facts["url"], grpc=facts["grpc"], pid=os.getpid(), versions=list(facts["versions"])))

    return both


def _end_with_input() -> None:
    """The standard input of a server that another program started ends when that program does, however it does."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
