"""The files of versions in a folder of this machine, which serving processes read, wherever the blobs stand."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from mainstay.models.package import Package
from mainstay.registry.blobs import Blobs, FolderBlobs, Listed

CACHE = "cache"
"""Folder, in a project's state folder, of copies of blobs that stand elsewhere; it can be removed at any time."""


class LocalCopies:
    """The registry's own folder where it has one; copies in a cache where its blobs are elsewhere."""

    def __init__(self, blobs: Blobs, cache: Path) -> None:
        self.folder = blobs if isinstance(blobs, FolderBlobs) else FolderBlobs(cache.absolute())
        """Where a package's files are once they were brought."""
        self._elsewhere = self.folder is not blobs

    def bring(self, package: Package) -> None:
        """Copies the content of a package that is not here yet, or was damaged here.

        Raises:
            PackageCorrupt: a file is missing where it comes from, or was changed there.
            MachineError: where it comes from does not answer, or this disk said no.
        """
        if not self._elsewhere:
            return
        self.folder.sweep()
        for name, entry in package.manifest.content.items():
            # Also what is here is put, which makes it young: nobody removes it now.
            self.folder.put(self._held(entry.sha256) or package.read(name))

    def _held(self, sha: str) -> bytes | None:
        """The bytes of a copy that is here, and whole."""
        try:
            data = self.folder.get(sha)
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha else None


def prune(cache: Path, live: Collection[str], *, before: datetime, dry_run: bool) -> list[Listed]:
    """Removes the copies that no live version needs, and that were not brought since a time; or says which.

    Args:
        cache: the folder of copies; there need be none.
        live: SHA-256 of what is served from here.

    Raises:
        MachineError: the folder cannot be read or written.
    """
    copies = FolderBlobs(cache.absolute())
    old = [each for each in copies.listed() if each.sha not in live and each.put_at < before]
    return [each for each in old if dry_run or copies.discard(each.sha, before=before)]
