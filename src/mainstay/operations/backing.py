"""What a server answers from: the project's registry, with what its operator allows and its webhooks are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mainstay.operations.managing import Manager
from mainstay.operations.operator import Signers, allowed_here
from mainstay.operations.registries import opened
from mainstay.operations.telling import deliverer_of
from mainstay.registry.store import Registry
from mainstay.serving.agent import Backing
from mainstay.serving.logs import Log
from mainstay.serving.ports import loopback

OPEN = (
    "Whoever reaches this machine at {host} may ask its models, as there is no API key: make one with "
    "mainstay keys create NAME, or listen on 127.0.0.1."
)
"""No refusal: that a server answers its own network is what most want at first, a proxy in front may know who asks,
pages of others are kept out, and nobody manages without a key."""


@contextmanager
def backed(folder: Path, *, host: str, trust: Path | None, log: Log) -> Iterator[Backing]:
    """The registry of a project, open, for a server that listens at `host`; `trust` is as `allowed_here` takes it.

    Raises:
        NoRegistry, and as `Registry.open`; ProjectError; BadOperatorFile, BadKey, MissingExtra.
    """
    allowed_here(folder, trust)  # what is wrong with it is said at the start, not when a host needs it
    with opened(folder, create=False) as registry:
        if not registry.keys.all() and not loopback(host):
            log("open", OPEN.format(host=host), level="warning")
        with _webhooks(folder, registry, log):
            yield Backing(
                registry=registry,
                allowed=lambda: allowed_here(folder, trust),
                signers=Signers(folder),
                manage=Manager(folder, registry),
            )


@contextmanager
def _webhooks(folder: Path, registry: Registry, log: Log) -> Iterator[None]:
    """Tells the project's webhooks what happens, beside what is done inside."""

    def said(sentence: str, well: bool) -> None:
        log("webhook", sentence, level="info" if well else "warning")

    deliverer = deliverer_of(folder, registry, said)
    if deliverer is None:
        yield
        return
    deliverer.start()
    try:
        yield
    finally:
        deliverer.close()
