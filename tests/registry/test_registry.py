"""The contract on SQLite, and what is SQLite's and the folder's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.models.package import PackageCorrupt
from mainstay.registry.store import Registry
from mainstay.testing.drafts import Clock
from mainstay.testing.registry import RegistryContract, add


class TestSqlite(RegistryContract):
    @pytest.fixture
    def registry(self, clock: Clock, tmp_path: Path) -> Iterator[Registry]:
        with Registry.open(tmp_path / ".mainstay", clock=clock) as registry:
            yield registry


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(tmp_path / ".mainstay") as registry:
        yield registry


def test_facts_are_there_at_the_next_opening(tmp_path: Path) -> None:
    with Registry.open(tmp_path / ".mainstay") as first:
        version = add(first)
        first.deploy(version, expecting=None, actor="ada")
        said = first.events()
    with Registry.open(tmp_path / ".mainstay", create=False) as second:
        assert second.version("credit@champion").id == version.id
        assert second.events() == said


def test_a_changed_file_of_a_version_is_found_out(registry: Registry) -> None:
    version = add(registry)
    package = registry.package(version)
    path = registry.blobs.path(package.manifest.content["model.onnx"].sha256)
    path.unlink()
    path.write_bytes(b"0")
    assert package.read("signature.json")
    with pytest.raises(PackageCorrupt, match=r"model\.onnx"):
        package.read("model.onnx")


def test_a_missing_file_of_a_version_is_found_out(registry: Registry) -> None:
    package = registry.package(add(registry))
    registry.blobs.path(package.manifest.content["model.onnx"].sha256).unlink()
    with pytest.raises(PackageCorrupt, match=r"model\.onnx"):
        package.read("model.onnx")


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_changed_list_of_files_is_found_out(registry: Registry, damage: str) -> None:
    version = add(registry)
    path = registry.blobs.path(version.content_id)
    path.unlink()
    if damage == "changed":
        path.write_bytes(b"{}")
    with pytest.raises(PackageCorrupt, match="credit:1"):
        registry.package(version)


def test_registering_again_restores_a_damaged_file(registry: Registry) -> None:
    version = add(registry)
    path = registry.blobs.path(registry.package(version).manifest.content["model.onnx"].sha256)
    path.unlink()
    path.write_bytes(b"0")
    assert add(registry) == version
    assert registry.package(version).read("model.onnx") == b"1"
