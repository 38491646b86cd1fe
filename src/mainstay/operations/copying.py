"""`mainstay registry copy`: a registry moved to another place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.operations.registries import place_of
from mainstay.project import STATE
from mainstay.registry.copying import copy
from mainstay.registry.disk import DATABASE
from mainstay.registry.places import is_url
from mainstay.registry.store import Registry


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay registry copy` answers."""

    versions: int
    events: int
    blobs: int
    sent: int
    """Of the blobs: those that were not there yet."""
    bytes: int
    """Of all blobs."""


class SamePlace(MainstayError):
    """A registry cannot be copied onto itself."""


def moved(
    source: str,
    target: str,
    *,
    source_blobs: str | None = None,
    target_blobs: str | None = None,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Moved:
    """Copies a registry whole, and proves it; can be run again after it was ended in the middle.

    Args:
        source: a project's folder, whose project file says where; a folder that holds a registry (such as .mainstay);
            or a PostgreSQL URL.
        target: the same; made where there is none.
        source_blobs: a folder or s3://BUCKET/PREFIX; a URL needs it.
        target_blobs: the same.
        told: hears of the progress, in blobs.

    Raises:
        SamePlace; NoRegistry; NotEmpty, PackageCorrupt, SourceMoved, CopyDiffers; as `Registry.open`.
    """
    here, there = _place(source, source_blobs), _place(target, target_blobs)
    if _named(here[0]) == _named(there[0]):
        raise SamePlace(f"{target} is where {source} is: name another target.")
    with (
        Registry.open(here[0], create=False, blobs=here[1], where="FROM") as one,
        Registry.open(there[0], blobs=there[1], where="TO") as other,
    ):
        done = copy(one, other, told)
    return Moved(versions=done.versions, events=done.events, blobs=done.blobs, sent=done.sent, bytes=done.size)


def _place(location: str, blobs: str | None) -> tuple[Path | str, Path | str | None]:
    if is_url(location):
        return location, blobs
    folder = Path(location)
    if _is_state(folder):
        return folder, blobs
    found, kept = place_of(folder)
    return found, blobs or kept


def _named(location: Path | str) -> Path | str:
    return location.resolve() if isinstance(location, Path) else location


def _is_state(folder: Path) -> bool:
    """Whether it is itself a registry's folder, or meant as one, and not a project's."""
    return (folder / DATABASE).exists() or folder.name == STATE
