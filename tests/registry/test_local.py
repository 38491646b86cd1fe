"""Copies of a version's files on this machine: brought once, checked, and enough when the store is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.models.package import Package, PackageCorrupt
from mainstay.registry import s3
from mainstay.registry.local import LocalCopies
from mainstay.registry.s3 import BlobsAway, S3Blobs
from mainstay.registry.store import Registry
from mainstay.testing.registry import add


@pytest.fixture
def registry(tmp_path: Path, s3_url: str) -> Iterator[Registry]:
    with Registry.open(tmp_path / ".mainstay", blobs=s3_url) as registry:
        yield registry


def content(copies: LocalCopies, package: Package) -> dict[str, bytes]:
    here = Package(package.manifest, copies.folder.get)
    return {name: here.read(name) for name in package.manifest.content}


def test_what_is_brought_can_be_read_while_the_store_is_away(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = registry.package(add(registry)), registry.package(add(registry, graph="2"))
    copies = LocalCopies(registry.blobs, tmp_path / "cache")
    copies.bring(first)
    assert content(copies, first)["model.onnx"] == b"1"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(s3, "_RETRIES", 0)
    assert isinstance(registry.blobs, S3Blobs)
    away = S3Blobs(registry.blobs.url)
    offline = LocalCopies(away, tmp_path / "cache")
    offline.bring(Package(first.manifest, away.get))
    with pytest.raises(BlobsAway):
        offline.bring(Package(second.manifest, away.get))
    assert content(offline, first)["model.onnx"] == b"1"


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_copy_that_was_damaged_is_brought_again(registry: Registry, tmp_path: Path, damage: str) -> None:
    package = registry.package(add(registry))
    copies = LocalCopies(registry.blobs, tmp_path / "cache")
    copies.bring(package)
    path = copies.folder.path(package.manifest.content["model.onnx"].sha256)
    path.unlink()
    if damage == "changed":
        path.write_bytes(b"0")
    copies.bring(package)
    assert content(copies, package)["model.onnx"] == b"1"


def test_a_file_that_was_changed_in_the_store_is_not_brought(registry: Registry, tmp_path: Path) -> None:
    package = registry.package(add(registry))
    sha = package.manifest.content["model.onnx"].sha256
    assert isinstance(registry.blobs, S3Blobs)
    registry.blobs._store.put(registry.blobs._key(sha), b"0")
    copies = LocalCopies(registry.blobs, tmp_path / "cache")
    with pytest.raises(PackageCorrupt, match=r"model\.onnx"):
        copies.bring(package)
    assert not copies.folder.has(sha)


def test_a_folder_of_this_machine_is_used_as_it_is(tmp_path: Path) -> None:
    with Registry.open(tmp_path / ".mainstay") as registry:
        package = registry.package(add(registry))
        copies = LocalCopies(registry.blobs, tmp_path / "cache")
        copies.bring(package)
        assert copies.folder is registry.blobs
        assert not (tmp_path / "cache").exists()
