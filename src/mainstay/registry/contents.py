"""The list of a version's content files: a blob, whose hash is the version's content id."""

from __future__ import annotations

import hashlib

import msgspec

from mainstay.models.package import FileEntry, PackageCorrupt
from mainstay.registry.blobs import Blobs


def listed(blobs: Blobs, ref: str, content_id: str) -> dict[str, FileEntry]:
    """The content files of a version by name. Raises PackageCorrupt."""
    try:
        found = blobs.get(content_id)
    except (OSError, KeyError) as error:
        raise PackageCorrupt(
            f"The list of the files of {ref} cannot be read ({error}): restore it from a copy."
        ) from error
    if hashlib.sha256(found).hexdigest() != content_id:
        raise PackageCorrupt(
            f"The list of the files of {ref} was changed after it was registered: restore it from a copy."
        )
    return msgspec.json.decode(found, type=dict[str, FileEntry])
