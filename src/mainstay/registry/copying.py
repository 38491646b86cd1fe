"""A registry moved to another place whole: each id, time and event as it was, each blob checked by its hash.

The blobs go first, and the rows follow in one transaction: killed at any instant, the target holds the rows of before
or all of the new ones, and the next copy goes on with the blobs that are missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, func, insert, select

from mainstay.errors import CheckFailed, MainstayError
from mainstay.models.package import FileEntry, PackageCorrupt
from mainstay.registry import garbage, schema
from mainstay.registry.blobs import Blobs
from mainstay.registry.store import Registry

Rows = dict[str, list[dict[str, Any]]]
"""Of each table by its name, in the order of their primary keys."""
_AT_ONCE = 1000
_STAYS = {"member", "lease", "controller"}
"""Who serves, who tells webhooks and who moves rollouts is of the place where they do it: it is not moved."""


class NotEmpty(MainstayError):
    """The target holds a registry of its own."""

    def __init__(self) -> None:
        super().__init__(
            "The target holds facts that the source does not, so it is not written: name an empty database, "
            "or the target of an earlier copy of this registry that was not used since."
        )


class SourceMoved(CheckFailed):
    """The source was used while it was copied."""

    def __init__(self) -> None:
        super().__init__(
            "The copy is whole, but the source has changed meanwhile: stop what writes to it, then run the same "
            "command again; only what is new is copied."
        )


class CopyDiffers(CheckFailed):
    """What the target gives back is not what it was given."""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What the target holds now."""

    versions: int
    events: int
    blobs: int
    sent: int
    """Of the blobs: those that were not there yet."""
    size: int
    """Bytes of all blobs."""


def copy(source: Registry, target: Registry, told: Callable[[int, int], None] = lambda done, of: None) -> Copied:
    """Makes `target` hold what `source` holds; `told` hears of the progress, in blobs.

    Raises:
        NotEmpty: the target is neither empty nor an earlier state of the source.
        PackageCorrupt: a blob of the source is missing or was changed.
        SourceMoved: something was written to the source meanwhile; running it again mends that.
        CopyDiffers: the target does not give back what it was given.
    """
    rows = _rows(source)
    _refuse_another(rows, _rows(target))
    blobs = _blobs(source, rows)
    sent, before = 0, _removals(target)
    for done, (sha, blob) in enumerate(blobs.items()):
        told(done, len(blobs))
        sent += _bring(source.blobs, target.blobs, sha, blob.ref)
    told(len(blobs), len(blobs))
    with target._database.write() as connection:  # noqa: SLF001 - of the same package
        _refuse_another(rows, _read(connection))  # nobody wrote meanwhile
        if garbage.may_have_removed(connection, target.blobs, before):
            for sha, blob in blobs.items():
                _bring(source.blobs, target.blobs, sha, blob.ref)
        for table in reversed(_tables()):
            connection.execute(delete(table))
        for table in _tables():
            _fill(connection, table, rows[table.name])
    if _rows(target) != rows:
        raise CopyDiffers("The target's rows are not those of the source: check its database, then run it again.")
    if _rows(source) != rows:
        raise SourceMoved
    return Copied(
        versions=len(rows["version"]),
        events=len(rows["event"]),
        blobs=len(blobs),
        sent=sent,
        size=sum(blob.size for blob in blobs.values()),
    )


def _removals(target: Registry) -> str:
    with target._database.read() as connection:  # noqa: SLF001 - of the same package
        return garbage.seen(connection)


@dataclass(frozen=True)
class _Blob:
    ref: str
    """A version that it belongs to."""
    size: int


def _tables() -> list[Table]:
    """Those that are moved, each after the ones that it refers to."""
    return [table for table in schema.metadata.sorted_tables if table.name not in _STAYS]


def _rows(registry: Registry) -> Rows:
    with registry._database.read() as connection:  # noqa: SLF001 - of the same package
        return _read(connection)


def _read(connection: Connection) -> Rows:
    return {
        table.name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
        for table in _tables()
    }


def _refuse_another(source: Rows, target: Rows) -> None:
    """Each change of a registry leaves an event: a target whose events are the source's first ones is an earlier state
    of it, and one that holds versions without any event was made by nobody."""
    events = target["event"]
    if events != source["event"][: len(events)] or (target["version"] and not events):
        raise NotEmpty


def _blobs(source: Registry, rows: Rows) -> dict[str, _Blob]:
    """Every blob that a version names, by its hash."""
    models = {row["id"]: row["name"] for row in rows["model"]}
    refs = {row["id"]: f"{models[row['model_id']]}:{row['number']}" for row in rows["version"]}
    found: dict[str, _Blob] = {}
    for row in rows["version"]:
        if row["content_id"] in found:
            continue
        listed, ref = _read_blob(source.blobs, row["content_id"], refs[row["id"]]), refs[row["id"]]
        for entry in msgspec.json.decode(listed, type=dict[str, FileEntry]).values():
            found.setdefault(entry.sha256, _Blob(ref, entry.size))
        found[row["content_id"]] = _Blob(ref, len(listed))
    for row in rows["attestation"]:
        found.setdefault(row["sha256"], _Blob(refs[row["version_id"]], row["size"]))
    return found


def _bring(source: Blobs, target: Blobs, sha: str, ref: str) -> bool:
    """Whether the blob had to be sent."""
    if _holds(target, sha):
        return False
    target.put(_read_blob(source, sha, ref))
    if not _holds(target, sha):
        raise CopyDiffers(f"The target does not give back a file of {ref} as it was sent: check its store.")
    return True


def _read_blob(source: Blobs, sha: str, ref: str) -> bytes:
    try:
        data = source.get(sha)
    except (OSError, KeyError) as error:
        raise PackageCorrupt(f"A file of {ref} cannot be read ({error}): restore it from a copy.") from error
    if hashlib.sha256(data).hexdigest() != sha:
        raise PackageCorrupt(f"A file of {ref} was changed after it was registered: restore it from a copy.")
    return data


def _holds(blobs: Blobs, sha: str) -> bool:
    """Whether the blob is there, and right."""
    try:
        return hashlib.sha256(blobs.get(sha)).hexdigest() == sha
    except OSError:
        return False


def _fill(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(rows), _AT_ONCE):
        connection.execute(insert(table), list(rows[start : start + _AT_ONCE]))
    counted = table.autoincrement_column
    if counted is not None and connection.dialect.name == "postgresql" and rows:
        # Its sequence knows nothing of the ids that were given; SQLite's does.
        sequence = func.pg_get_serial_sequence(table.name, counted.name)
        connection.execute(select(func.setval(sequence, max(row[counted.name] for row in rows))))
