"""The contract with the blobs in a bucket, and what is the bucket's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.models.package import PackageCorrupt
from mainstay.registry import s3
from mainstay.registry.s3 import BadBlobs, BlobsAway, S3Blobs
from mainstay.registry.store import Registry
from mainstay.testing.blobs import BlobsContract
from mainstay.testing.drafts import Clock
from mainstay.testing.registry import RegistryContract, add


class TestS3(RegistryContract):
    @pytest.fixture
    def registry(self, clock: Clock, s3_url: str, tmp_path: Path) -> Iterator[Registry]:
        with Registry.open(tmp_path / ".mainstay", blobs=s3_url, clock=clock) as registry:
            yield registry
        assert not (tmp_path / ".mainstay" / "blobs").exists()


class TestBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self, s3_url: str) -> S3Blobs:
        return S3Blobs(s3_url)


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
