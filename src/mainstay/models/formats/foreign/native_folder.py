"""A version as a folder: its files, and `manifest.json` with the hash of each. Comes in as the same content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from mainstay.models import package as files
from mainstay.models.formats.foreign.protocol import CannotImport, Imported, Told
from mainstay.models.package import Draft, Manifest, Package, PackageCorrupt
from mainstay.models.packaging import Built
from mainstay.models.parity import Parity
from mainstay.models.runtime import Model

NAME = "Mainstay"
MANIFEST = "manifest.json"
MOST = 1 << 33
ORIGIN = {files.LINEAGE: "origin-lineage.json", files.ENVIRONMENT: "origin-environment.txt"}
"""What the import writes itself is kept of the origin under another name."""


def written(package: Package) -> dict[str, bytes]:
    """The files of a version's folder, by name. Raises PackageCorrupt."""
    found = {name: package.read(name) for name in sorted(package.manifest.files)}
    return {**found, MANIFEST: msgspec.json.format(msgspec.json.encode(package.manifest, order="deterministic"))}


def detect(path: Path, head: bytes) -> bool:
    del head
    return path.is_dir() and (path / MANIFEST).is_file()


def draft(path: Path, told: Told) -> Imported:
    draft_ = _read(path)
    package = draft_.package()
    if told.columns or told.labels or told.nullable or told.target not in (None, package.signature.target):
        raise CannotImport(
            "A folder that Mainstay wrote says itself what its columns, labels and target are "
            f"({package.signature.target!r}): give none of them."
        )
    model = Model.load(package, trusted=told.trusted) if told.opened is None else told.opened(package)
    model.check_golden()
    parity = package.document(files.PARITY, Parity) if files.PARITY in package else _unknown()
    spec = package.spec
    return Imported(Built(draft_, parity, spec.format, spec.reason), f"Mainstay {spec.format}")


def _unknown() -> Parity:
    return Parity(rows=0, label_disagreements=0, largest_difference=0.0)


def _read(path: Path) -> Draft:
    """The files of a folder, each as its manifest states.

    Raises:
        CannotImport: a file too many, a name that is no plain one, or a link.
        PackageCorrupt: a file is missing or has another hash.
    """
    try:
        manifest = msgspec.json.decode(_file(path / MANIFEST), type=Manifest)
    except msgspec.DecodeError as error:
        raise PackageCorrupt(f"{MANIFEST} cannot be understood: {error}.") from error
    stated = manifest.files
    if sum(entry.size for entry in stated.values()) > MOST:
        raise CannotImport(f"{path.name} states more than {MOST:,} bytes, which is no model.")
    # The names are checked before any of them is joined to a path.
    Draft(dict.fromkeys(manifest.content, b""), dict.fromkeys(manifest.attestations, b"")).manifest()
    present = {entry.name for entry in path.iterdir()} - {MANIFEST}
    if extra := sorted(present - stated.keys()):
        raise CannotImport(f"{path.name} has the file {extra[0]!r}, which its manifest does not state: take it out.")
    data = {name: _stated(path / name, entry.size) for name, entry in stated.items()}
    read = Package(manifest, {entry.sha256: data[name] for name, entry in stated.items()}.__getitem__)
    content = {name: read.read(name) for name in manifest.content}
    return Draft(content, _renamed({name: read.read(name) for name in manifest.attestations}))


def _renamed(attestations: Mapping[str, bytes]) -> dict[str, bytes]:
    return {ORIGIN.get(name, name): data for name, data in attestations.items() if name not in ORIGIN.values()}


def _stated(path: Path, size: int) -> bytes:
    if not path.exists():
        raise PackageCorrupt(f"{path.name!r} of the package is missing: restore it from a copy.")
    if path.is_file() and path.stat().st_size != size:
        raise PackageCorrupt(f"{path.name!r} of the package was changed after it was written: restore it from a copy.")
    return _file(path)


def _file(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise CannotImport(
            f"{path.name} is a link or no file, and only plain files are read: put the file itself there."
        )
    return path.read_bytes()
