"""The contract with the blobs in a bucket, and what is the bucket's own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from registry_contract import RegistryContract, add
from registry_drafts import Clock

from mainstay.models.package import PackageCorrupt
from mainstay.registry import s3
from mainstay.registry.s3 import BadBlobs, BlobsAway, S3Blobs
from mainstay.registry.store import Registry


class TestS3(RegistryContract):
    @pytest.fixture
    def registry(self, clock: Clock, s3_url: str, tmp_path: Path) -> Iterator[Registry]:
        with Registry.open(tmp_path / ".mainstay", blobs=s3_url, clock=clock) as registry:
            yield registry
        assert not (tmp_path / ".mainstay" / "blobs").exists()


@pytest.fixture
def blobs(s3_url: str) -> S3Blobs:
    return S3Blobs(s3_url)


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 50_000])
def test_a_blob_is_read_back_as_it_was_put(blobs: S3Blobs, data: bytes) -> None:
    sha = hashlib.sha256(data).hexdigest()
    assert not blobs.has(sha)
    assert blobs.put(data) == blobs.put(data) == sha
    assert blobs.has(sha)
    assert blobs.get(sha) == data
    assert blobs.sweep() == 0


def test_what_is_not_there_is_told_as_a_folder_tells_it(blobs: S3Blobs) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.get("0" * 64)
    for name in ("../secrets", "0" * 63, "A" * 64):
        assert not blobs.has(name)
        with pytest.raises(KeyError):
            blobs.get(name)


def test_a_damaged_blob_is_found_out_and_mended_by_registering_again(s3_url: str, tmp_path: Path) -> None:
    with Registry.open(tmp_path, blobs=s3_url) as registry:
        version = add(registry)
        blobs = registry.blobs
        assert isinstance(blobs, S3Blobs)
        sha = registry.package(version).manifest.content["model.onnx"].sha256
        blobs._store.put(blobs._key(sha), b"0")
        with pytest.raises(PackageCorrupt, match=r"model\.onnx"):
            registry.package(version).read("model.onnx")
        assert add(registry) == version
        assert registry.package(version).read("model.onnx") == b"1"
        blobs._store.delete(blobs._key(version.content_id))
        with pytest.raises(PackageCorrupt, match="credit:1"):
            registry.package(version)


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "gs://bucket", "s3://bucket?x=1", "s3://UPPER/x"])
def test_what_is_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(BadBlobs, match="s3://BUCKET"):
        S3Blobs(url)


def test_a_bucket_that_is_not_there_is_told(s3_url: str) -> None:
    del s3_url  # for its environment
    for ask in (lambda: S3Blobs("s3://nowhere").put(b"x"), lambda: S3Blobs("s3://nowhere").get("0" * 64)):
        with pytest.raises(BlobsAway, match="no such bucket"):
            ask()


def test_a_server_that_is_not_there_is_told(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(s3, "_RETRIES", 0)
    blobs = S3Blobs(s3_url)
    for ask in (lambda: blobs.put(b"x"), lambda: blobs.get("0" * 64), lambda: blobs.has("0" * 64)):
        with pytest.raises(BlobsAway, match="AWS_ENDPOINT_URL"):
            ask()


def test_who_uses_neither_loads_neither(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from mainstay.registry.store import Registry;"
        "Registry.open(pathlib.Path(sys.argv[1])).close();"
        "sys.exit('obstore' in sys.modules or 'psycopg' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
