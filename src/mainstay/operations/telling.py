"""`mainstay webhooks`: tells other systems what happened, as the project file says."""

from __future__ import annotations

import os
import random
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.operations.registries import opened
from mainstay.project import FILE, Project, Webhook, load
from mainstay.registry.outbox import Subscription
from mainstay.registry.store import Registry
from mainstay.webhooks.delivering import Deliverer, Receiver, Said
from mainstay.webhooks.sending import place_of
from mainstay.webhooks.signing import key_of

_PLACE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class NoWebhooks(MainstayError):
    """The project file names no webhook."""


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay webhooks deliver` did."""

    delivered: int
    failed: int
    """Attempts that failed; what they were of is tried again later."""
    given_up: int
    held_elsewhere: bool
    """Another process is delivering."""


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook, and how far it has been told."""

    url: str
    events: list[str]
    """None of them: all."""
    pending: int
    delivered: int
    given_up: int
    error: str
    """Of the latest failed attempt, while it matters."""


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    webhooks: list[Hook]


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    again: int
    """Events that are due again."""


def subscribe(folder: Path, registry: Registry) -> Project | None:
    """Makes the webhooks of the project file the ones that the registry writes its outbox for; the project.

    Whatever writes an event calls this first, so that what is in the file now is what counts. Without a project file
    nothing changes, and None is given.

    Raises:
        ProjectError: the project file cannot be read.
    """
    if not (folder / FILE).exists():
        return None
    project = load(folder)
    registry.outbox.subscribe(
        project.name, [Subscription(url=hook.url, kinds=hook.events) for hook in project.webhooks]
    )
    return project


def deliver(
    folder: Path, *, watch: bool, said: Said, stop: threading.Event | None = None, seed: int | None = None
) -> Delivered:
    """Tells each webhook what is due; with `watch`, until `stop` is set.

    Raises:
        NoRegistry, ProjectError, NoWebhooks; BadWebhookUrl, BadSecret; MainstayError: a variable is not set.
    """
    over = stop or threading.Event()
    with opened(folder, create=False) as registry:
        deliverer = _deliverer(folder, registry, said, seed)
        if watch:
            deliverer.run(over)
            return Delivered(delivered=0, failed=0, given_up=0, held_elsewhere=False)
        delivered = failed = given_up = 0
        try:
            # What has failed is due later than now, so that this ends.
            while (told := deliverer.step()).delivered:
                delivered, failed, given_up = delivered + told.delivered, failed + told.failed, given_up + told.given_up
        finally:
            deliverer.release()
    return Delivered(
        delivered=delivered,
        failed=failed + told.failed,
        given_up=given_up + told.given_up,
        held_elsewhere=told.held_elsewhere,
    )


def deliverer_of(folder: Path, registry: Registry, said: Said) -> Deliverer | None:
    """What delivers beside a server; None where there are no webhooks, or they cannot be told, which is then said."""
    try:
        return _deliverer(folder, registry, said, None)
    except NoWebhooks:
        return None
    except MainstayError as error:
        said(f"No webhook is told anything by this server: {error}", False)
        return None


def listed(folder: Path) -> Hooks:
    """The webhooks of the project, and how far each has been told. Raises NoRegistry, ProjectError."""
    with opened(folder, create=False) as registry:
        project = _project(folder, registry)
        found = registry.outbox.standings(project.name)
    return Hooks(
        webhooks=[
            Hook(
                url=each.url,
                events=list(each.kinds),
                pending=each.counts["pending"],
                delivered=each.counts["delivered"],
                given_up=each.counts["given_up"],
                error=each.error,
            )
            for each in found
        ]
    )


def retry(folder: Path) -> Retried:
    """Makes what was given up due again. Raises NoRegistry, ProjectError."""
    with opened(folder, create=False) as registry:
        return Retried(again=registry.outbox.retry(_project(folder, registry).name))


def receiver_of(hook: Webhook, environment: Mapping[str, str]) -> Receiver:
    """A webhook of the project file with what the environment holds for it.

    Raises:
        BadWebhookUrl, BadSecret; MainstayError: a variable is not set.
    """

    def value(name: str) -> str:
        if not environment.get(name):
            raise MainstayError(f"[[webhooks]] {hook.url} needs the environment variable {name}, which is not set.")
        return environment[name]

    url = _PLACE.sub(lambda match: value(match[1]), hook.url)
    name = hook.secret[2:-1]
    return Receiver(
        url=hook.url,
        place=place_of(url, shown=hook.url, allow_private=hook.allow_private),
        key=key_of(value(name), name=name),
    )


def _deliverer(folder: Path, registry: Registry, said: Said, seed: int | None) -> Deliverer:
    project = _project(folder, registry)
    if not project.webhooks:
        raise NoWebhooks(f"{FILE} has no [[webhooks]]: write one, with its url and secret.")
    receivers = [receiver_of(hook, os.environ) for hook in project.webhooks]
    chance = random.Random(seed).random  # noqa: S311 - spreads retries; nothing is guarded by it
    return Deliverer(registry.outbox, project.name, receivers, said=said, chance=chance)


def _project(folder: Path, registry: Registry) -> Project:
    return subscribe(folder, registry) or load(folder)  # which says that there is no project file
