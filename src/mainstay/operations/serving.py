"""`mainstay serve`: answers over HTTP with what is deployed."""

from __future__ import annotations

import sys
from pathlib import Path

from mainstay.operations.home import state_of
from mainstay.operations.trust import trusted_types
from mainstay.project import FILE, Serve, load
from mainstay.registry.store import Registry
from mainstay.serving.logs import logger
from mainstay.serving.supervisor import Settings
from mainstay.serving.supervisor import serve as supervise


def serve(folder: Path, *, host: str | None, port: int | None, workers: int | None, trust: Path | None) -> None:
    """Serves until SIGINT or SIGTERM; what is not given is as the project file says, where there is one.

    Args:
        trust: file of the types that native models may hold; see `trust.trusted_types`.

    Raises:
        NoRegistry: nothing was ever registered here.
        PortTaken, CannotListen; ProjectError.
    """
    said = load(folder).serve if (folder / FILE).exists() else Serve()
    human = sys.stderr.isatty()
    settings = Settings(
        host=said.host if host is None else host,
        port=said.port if port is None else port,
        workers=said.workers if workers is None else workers,
        max_body=said.max_body,
        human=human,
    )
    root = state_of(folder)
    with Registry.open(root, create=False) as registry:
        supervise(registry, root, settings, trusted=trusted_types(folder, trust), log=logger(human=human))
