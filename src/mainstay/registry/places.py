"""Where a registry is: a folder, or a PostgreSQL URL; and where its blobs are: a folder, or a bucket."""

from __future__ import annotations

import os
from pathlib import Path

from mainstay.registry.blobs import Blobs, FolderBlobs
from mainstay.registry.database import Database
from mainstay.registry.postgres import PostgresDatabase
from mainstay.registry.s3 import BadBlobs, S3Blobs
from mainstay.registry.transactions import Transactions
from mainstay.registry.urls import expanded

BLOBS = "blobs"


def is_url(location: str) -> bool:
    """Whether a text is meant as a URL, and not as a path."""
    return "://" in location or location.startswith("${")


def opened(location: Path | str, blobs: Path | str | None, *, create: bool, where: str) -> tuple[Transactions, Blobs]:
    """The database and the blobs of a registry; raises as `Registry.open`."""
    if isinstance(location, str) and is_url(location):
        if blobs is None:
            raise BadBlobs(f'{where} is a database, so blobs must be named too: a folder, or "s3://BUCKET/PREFIX".')
        kept = blobs_at(blobs)
        return PostgresDatabase.open(expanded(location, os.environ, where=where), create=create), kept
    root = Path(location).absolute()  # so that it stays the same one when the process changes its folder
    kept = blobs_at(root / BLOBS if blobs is None else blobs)
    return Database.open(root, create=create), kept


def blobs_at(place: Path | str) -> Blobs:
    """The blobs at a place; nothing is asked of it yet.

    Raises:
        BadBlobs: no such place.
        MissingExtra: it takes a library that is not installed.
    """
    if isinstance(place, str) and is_url(place):
        return S3Blobs(place)
    return FolderBlobs(Path(place).absolute())
