"""`mainstay gc`: removes the files that no version names any more, or ever did."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.classes import FORMAT
from mainstay.operations.home import state_of
from mainstay.operations.registries import opened
from mainstay.registry.blobs import Listed
from mainstay.registry.garbage import sweep
from mainstay.registry.local import CACHE, prune
from mainstay.registry.records import Version
from mainstay.registry.store import Registry
from mainstay.serving.environments import FOLDER as ENVIRONMENTS
from mainstay.serving.environments import Environments, name_of

AT_ONCE = 500
"""Versions that are read at once."""
UNITS = {"m": 60, "h": 3600, "d": 86_400}
SHORTEST = timedelta(hours=1)
"""A registration first keeps its files and then names them; no registration takes this long."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A file that nothing names."""

    sha256: str
    size: int
    """Bytes."""
    put_at: datetime


class Unused(msgspec.Struct, frozen=True, kw_only=True):
    """An environment of a Python class that no version needs."""

    name: str
    size: int
    """Bytes."""
    used_at: datetime


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay gc` removed, or would."""

    dry_run: bool
    removed: list[Piece]
    bytes: int
    deliveries: int
    """To webhooks, which ended so long ago that they were forgotten."""
    kept: int
    """Files that a version or an attestation names."""
    young: int
    """Files that nothing names, put too short a time ago."""
    copies: list[Piece]
    """Of files in a bucket, on this machine: no version that is deployed, beside one that is, or aliased needs them."""
    environments: list[Unused]
    """Of Python classes, on this machine: no version needs them."""


def collect(folder: Path, *, older_than: str = "7d", dry_run: bool = False, now: datetime | None = None) -> Collected:
    """Removes the files that no version and no attestation names, and that nobody has put for a time.

    Versions are not removed, failed and old ones no more than others: what is registered stays. Ended in the middle,
    it has removed some of the same files, each whole; run it again.

    Args:
        older_than: such as "7d", "12h" or "90m"; at least an hour.

    Raises:
        NoRegistry; PackageCorrupt: what a version needs cannot be told, so nothing was removed.
        CollectorRuns: another one is at it; MainstayError: no such time.
    """
    before = (now or datetime.now(UTC)) - duration_of(older_than)
    with opened(folder, create=False) as registry:
        done = sweep(registry, before=before, dry_run=dry_run)
        deliveries = 0 if dry_run else registry.outbox.prune()
        copies, environments = _of_this_machine(folder, registry, before=before, dry_run=dry_run)
    return Collected(
        dry_run=dry_run,
        removed=_pieces(done.removed),
        bytes=sum(each.size for each in done.removed),
        deliveries=deliveries,
        kept=done.kept,
        young=len(done.young),
        copies=copies,
        environments=environments,
    )


def _of_this_machine(
    folder: Path, registry: Registry, *, before: datetime, dry_run: bool
) -> tuple[list[Piece], list[Unused]]:
    """What stands on this machine for versions, and is made or brought again where it is needed again."""
    served, needed = set[str](), set[str]()
    aliased = {alias.ref for model in registry.models() for alias in registry.aliases(model)}
    for version in _all(registry):
        live = version.deployed or version.candidate or version.beside
        if live or version.ref in aliased or version.format == FORMAT:
            package = registry.package(version)
            served |= {entry.sha256 for entry in package.manifest.content.values()}
            if version.format == FORMAT:
                needed.add(name_of(package))
    state = state_of(folder)
    copies = prune(state / CACHE, served, before=before, dry_run=dry_run)
    unused = Environments(state / ENVIRONMENTS).prune(needed, before=before, dry_run=dry_run)
    return _pieces(copies), [Unused(name=each.name, size=each.size, used_at=each.used_at) for each in unused]


def _all(registry: Registry) -> Iterator[Version]:
    page = registry.versions(limit=AT_ONCE)
    while page:
        yield from page
        page = registry.versions(limit=AT_ONCE, before=page[-1])


def _pieces(found: Iterable[Listed]) -> list[Piece]:
    return [Piece(sha256=each.sha, size=each.size, put_at=each.put_at) for each in found]


def duration_of(text: str) -> timedelta:
    """The time that "7d", "12h" or "90m" spells. Raises MainstayError where it is none, or less than an hour."""
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if found is None:
        raise MainstayError(f"{text!r} is no time: write 7d, 12h or 90m, for example.")
    grace = timedelta(seconds=int(found[1]) * UNITS[found[2]])
    if grace < SHORTEST:
        raise MainstayError(f"{text!r} is less than an hour: a registration that is under way could lose its files.")
    return grace
