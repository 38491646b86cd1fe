"""`mainstay keygen` and `mainstay sign`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.models import signing
from mainstay.models.package import encoded
from mainstay.operations.home import actor
from mainstay.operations.registries import opened
from mainstay.operations.telling import subscribe


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A new key."""

    path: str
    public_key: str
    """For `require_signed_by`."""


class SignedVersion(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    content_id: str
    public_key: str
    file: str
    """The attestation that holds the signature."""


def keygen(path: Path) -> Key:
    """Writes a new private key, readable by its owner alone; never over a file that is there.

    Raises:
        MainstayError: the file is there. MissingExtra. OSError: it cannot be written.
    """
    key = signing.new_key()
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        raise MainstayError(f"{path} is there already, and is not overwritten: choose another name.") from None
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(signing.pem_of(key))
        file.flush()
        os.fsync(file.fileno())
    return Key(path=str(path), public_key=signing.public_key_of(key))


def sign(folder: Path, ref: str, key: Path) -> SignedVersion:
    """Signs what a version answers, and keeps the signature with it; signed by this key already, nothing happens.

    Raises:
        NoRegistry, VersionNotFound and its like, PackageCorrupt; BadKey, MissingExtra.
        MainstayError: the key's file is not there.
    """
    try:
        pem = key.read_bytes()
    except FileNotFoundError:
        raise MainstayError(f"The key {key} does not exist: make one with mainstay keygen.") from None
    private = signing.key_of(pem, name=str(key))
    public = signing.public_key_of(private)
    file = signing.file_of(public)
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        version = registry.version(ref)
        package = registry.package(version)
        for name in package.manifest.content:
            package.read(name)  # what was changed is not vouched for
        signed = signing.sign(private, version.model, version.content_id, at=datetime.now(UTC), actor=actor())
        try:
            signing.require(package, version.model, version.ref, [public])
        except signing.NotSigned:
            registry.attest(version, file, encoded(signed), actor=actor())
    return SignedVersion(version=version.ref, content_id=version.content_id, public_key=public, file=file)
