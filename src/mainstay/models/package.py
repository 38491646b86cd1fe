"""A package: the files of a version, and a manifest with a hash for each.

Content decides the answers; its digest is the version's content id. Attestations (evaluation, lineage,
environment, report, profile) name the content id and change nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.encoder import Encoder
from mainstay.models.golden import Golden
from mainstay.models.signature import Signature

T = TypeVar("T")

# Content.
SPEC = "model.json"
SIGNATURE = "signature.json"
ENCODER = "encoder.json"
GOLDEN = "golden.json"
# Attestations.
PROFILE = "profile.json"
EVALUATION = "evaluation.json"
PARITY = "parity.json"
LINEAGE = "lineage.json"
ENVIRONMENT = "environment.txt"
TRIALS = "trials.json"
CHECKS = "checks.json"
COMPRESSION = "compression.json"
REPORT = "report.html"

Format = Literal["onnx", "skops", "lightgbm", "xgboost", "catboost", "ensemble", "savedmodel", "python-class"]
"""What runs a model's file: `models.runtime` has the module of each."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


class PackageCorrupt(MainstayError):
    """A file of a package does not have the hash that its manifest states, or cannot be read."""


class Decision(msgspec.Struct, frozen=True):
    """How a binary model's label follows from its probabilities: positive from this threshold on."""

    positive: int
    """Index of the positive label."""
    threshold: float


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the runnable model is, and how its scores become an answer."""

    format: Format
    file: str
    decision: Decision | None = None
    """None: the label is the model's own, or else the most probable one."""
    reason: str = ""
    """Why the model is not served as ONNX, where it is not."""


class FileEntry(msgspec.Struct, frozen=True):
    """A file by its SHA-256 (hex) and its size in bytes."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True):
    """The hash of every file of a package, by name."""

    content: dict[str, FileEntry]
    attestations: dict[str, FileEntry]
    version: int = 1

    @property
    def content_id(self) -> str:
        """SHA-256 (hex) of the canonical list of content files."""
        return hashlib.sha256(msgspec.json.encode(self.content, order="deterministic")).hexdigest()

    @property
    def files(self) -> dict[str, FileEntry]:
        # Content last: what is added later never stands in for it.
        return {**self.attestations, **self.content}


@dataclass(frozen=True)
class Draft:
    """The files of a package that is not registered yet, by name."""

    content: Mapping[str, bytes]
    attestations: Mapping[str, bytes] = field(default_factory=dict)

    def manifest(self) -> Manifest:
        """The manifest of these files.

        Raises:
            MainstayError: a file name that is not plain, or one that stands in both parts.
        """
        for name in (*self.content, *self.attestations):
            if not _NAME.fullmatch(name):
                raise MainstayError(f"{name!r} cannot be a file name in a package: use a-z, 0-9, '_', '.' and '-'.")
        if both := set(self.content) & set(self.attestations):
            raise MainstayError(f"{min(both)!r} is both content and an attestation of the package: choose one.")
        return Manifest(
            content={name: _entry(data) for name, data in sorted(self.content.items())},
            attestations={name: _entry(data) for name, data in sorted(self.attestations.items())},
        )

    def package(self) -> Package:
        """These files as a package, read from memory."""
        by_hash = {
            hashlib.sha256(data).hexdigest(): data for data in (*self.content.values(), *self.attestations.values())
        }
        return Package(self.manifest(), by_hash.__getitem__)


class Package:
    """Reads the files of a version, each checked against the manifest."""

    def __init__(self, manifest: Manifest, fetch: Callable[[str], bytes]) -> None:
        """`fetch` gives the bytes that are stored under a SHA-256 (hex)."""
        self.manifest = manifest
        self._fetch = fetch

    def __contains__(self, name: str) -> bool:
        return name in self.manifest.files

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            PackageCorrupt: the file is not in the package, is missing, or has another hash than the manifest states.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise PackageCorrupt(f"The package has no file {name!r}.")
        try:
            data = self._fetch(entry.sha256)
        except (OSError, KeyError) as error:
            raise PackageCorrupt(
                f"{name!r} of the package cannot be read ({error}): restore it from a copy."
            ) from error
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise PackageCorrupt(
                f"{name!r} of the package was changed after it was registered: restore it from a copy."
            )
        return data

    def document(self, name: str, kind: type[T]) -> T:
        """A JSON file of the package as a value of `kind`.

        Raises:
            PackageCorrupt: as `read`; or the file is not such a document.
        """
        try:
            return msgspec.json.decode(self.read(name), type=kind)
        except msgspec.DecodeError as error:
            raise PackageCorrupt(f"{name!r} of the package cannot be understood: {error}.") from error

    @property
    def spec(self) -> ModelSpec:
        return self.document(SPEC, ModelSpec)

    @property
    def signature(self) -> Signature:
        return self.document(SIGNATURE, Signature).checked()

    @property
    def encoder(self) -> Encoder | None:
        """None where the model takes the raw columns itself."""
        return self.document(ENCODER, Encoder) if ENCODER in self else None

    @property
    def golden(self) -> Golden:
        return self.document(GOLDEN, Golden)


def encoded(document: Any) -> bytes:
    """A document as it is kept in a package: JSON, the same bytes for the same value."""
    return msgspec.json.encode(document, order="deterministic")


def _entry(data: bytes) -> FileEntry:
    return FileEntry(hashlib.sha256(data).hexdigest(), len(data))
