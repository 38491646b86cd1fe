"""The files of versions in a folder of this machine, which serving processes read, wherever the blobs stand."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mainstay.models.package import Package
from mainstay.registry.blobs import Blobs, FolderBlobs

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
            if not self._holds(entry.sha256):
                self.folder.put(package.read(name))

    def _holds(self, sha: str) -> bool:
        try:
            return hashlib.sha256(self.folder.get(sha)).hexdigest() == sha
        except OSError:
            return False
