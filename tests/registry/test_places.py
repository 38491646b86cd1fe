"""Where a registry can be, and what is said where a place takes what is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.places import blobs_at, is_url
from mainstay.registry.s3 import S3Blobs

WITHOUT = """
import sys
sys.modules[sys.argv[1]] = None
from mainstay.errors import MissingExtra
from mainstay.registry.store import Registry
try:
    Registry.open(sys.argv[2], blobs=sys.argv[3])
except MissingExtra as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("library", "extra", "location", "blobs"),
    [
        ("psycopg", "postgres", "postgresql://ada@127.0.0.1:1/none", "blobs"),
        ("obstore", "s3", ".mainstay", "s3://bucket/prefix"),
        ("obstore.store", "s3", ".mainstay", "s3://bucket/prefix"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    library: str, extra: str, location: str, blobs: str, tmp_path: Path
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT, library, location, blobs],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"pip install 'mainstay[{extra}]'" in told.stdout, told.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("postgresql://host/db", True),
        ("${DATABASE_URL}", True),
        ("s3://bucket", True),
        (".mainstay", False),
        ("/a:/b", False),
    ],
)
def test_urls_and_paths_are_told_apart(text: str, url: bool) -> None:
    assert is_url(text) == url


def test_blobs_are_in_a_folder_or_in_a_bucket(tmp_path: Path) -> None:
    assert isinstance(blobs_at(tmp_path), FolderBlobs)
    assert isinstance(blobs_at("s3://bucket/prefix"), S3Blobs)
