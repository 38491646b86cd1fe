"""`mainstay gc`: removes the files that no version names any more, or ever did."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.operations.registries import opened
from mainstay.registry.garbage import sweep

UNITS = {"m": 60, "h": 3600, "d": 86_400}
SHORTEST = timedelta(hours=1)
"""A registration first keeps its files and then names them; no registration takes this long."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A file that nothing names."""

    sha256: str
    size: int
    """Bytes."""
    put_at: datetime


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
    grace = duration_of(older_than)
    with opened(folder, create=False) as registry:
        done = sweep(registry, before=(now or datetime.now(UTC)) - grace, dry_run=dry_run)
        deliveries = 0 if dry_run else registry.outbox.prune()
    return Collected(
        dry_run=dry_run,
        removed=[Piece(sha256=each.sha, size=each.size, put_at=each.put_at) for each in done.removed],
        bytes=sum(each.size for each in done.removed),
        deliveries=deliveries,
        kept=done.kept,
        young=len(done.young),
    )


def duration_of(text: str) -> timedelta:
    """The time that "7d", "12h" or "90m" spells. Raises MainstayError where it is none, or less than an hour."""
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", text)
    if found is None:
        raise MainstayError(f"{text!r} is no time: write 7d, 12h or 90m, for example.")
    grace = timedelta(seconds=int(found[1]) * UNITS[found[2]])
    if grace < SHORTEST:
        raise MainstayError(f"{text!r} is less than an hour: a registration that is under way could lose its files.")
    return grace
