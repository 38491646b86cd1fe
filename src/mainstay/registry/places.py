"""Where a registry is: a folder, or a PostgreSQL URL; and where its blobs are: a folder, or a bucket.

Other databases and stores are plug-ins: an entry point of a package that is installed beside this one, whose name is
the beginning of the URL. What it gives is held to `mainstay.testing`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mainstay.errors import MainstayError
from mainstay.registry.blobs import Blobs, FolderBlobs
from mainstay.registry.database import Database
from mainstay.registry.disk import BLOBS
from mainstay.registry.postgres import PostgresDatabase
from mainstay.registry.s3 import BadBlobs, S3Blobs
from mainstay.registry.transactions import Transactions
from mainstay.registry.urls import Expanded, expanded

BLOBS_PLUGINS = "mainstay.blobs"
"""Group of entry points: of a URL, `Blobs`."""
DATABASE_PLUGINS = "mainstay.databases"
"""Group of entry points: of an `Expanded` URL and `create=`, `Transactions`."""


class BadPlugin(MainstayError):
    """A plug-in cannot be loaded, or two answer to one name."""


def is_url(location: str) -> bool:
    """Whether a text is meant as a URL, and not as a path."""
    return "://" in location or location.startswith("${")


def opened(location: Path | str, blobs: Path | str | None, *, create: bool, where: str) -> tuple[Transactions, Blobs]:
    """The database and the blobs of a registry; raises as `Registry.open`."""
    if isinstance(location, str) and is_url(location):
        if blobs is None:
            raise BadBlobs(f'{where} is a database, so blobs must be named too: a folder, or "s3://BUCKET/PREFIX".')
        kept = blobs_at(blobs)
        return _database(expanded(location, os.environ, where=where), create=create), kept
    root = Path(location).absolute()  # so that it stays the same one when the process changes its folder
    kept = blobs_at(root / BLOBS if blobs is None else blobs)
    return Database.open(root, create=create), kept


def blobs_at(place: Path | str) -> Blobs:
    """The blobs at a place; nothing is asked of it yet.

    Raises:
        BadBlobs: no such place.
        BadPlugin.
        MissingExtra: it takes a library that is not installed.
    """
    if not isinstance(place, str) or not is_url(place):
        return FolderBlobs(Path(place).absolute())
    plugged = _plugged(BLOBS_PLUGINS, place.partition("://")[0])
    if plugged is None:
        return S3Blobs(place)  # which says what a place looks like, where this is none
    found: Blobs = plugged(place)
    return found


def _database(at: Expanded, *, create: bool) -> Transactions:
    plugged = _plugged(DATABASE_PLUGINS, at.url.get_backend_name())
    if plugged is None:
        return PostgresDatabase.open(at, create=create)
    found: Transactions = plugged(at, create=create)
    return found


def _plugged(group: str, name: str) -> Callable[..., Any] | None:
    """What an installed package gives for the beginning of a URL; None: nothing."""
    if name in ("s3", "postgresql", "postgres"):
        return None  # nobody stands in for what is built in
    found = sorted(entry_points(group=group, name=name), key=lambda each: each.value)
    if not found:
        return None
    if len({each.value for each in found}) > 1:
        raise BadPlugin(
            f"{name}:// is answered by {' and '.join(each.value for each in found)}: uninstall one of them."
        )
    try:
        loaded: Callable[..., Any] = found[0].load()
    except (ImportError, AttributeError) as error:
        raise BadPlugin(
            f"{name}:// needs {found[0].value}, which cannot be loaded ({error}): mend or uninstall it."
        ) from error
    return loaded
