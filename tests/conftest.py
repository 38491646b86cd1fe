"""What all tests share: where the real data sets are, and real servers of PostgreSQL and S3."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import backends
from examples import examples

# Their failed assertions then say what was compared.
pytest.register_assert_rewrite("mainstay.testing.registry", "mainstay.testing.keys", "mainstay.testing.blobs")

# A busy machine is no failure: the time limit of a whole test is pytest's.
settings.register_profile("mainstay", deadline=None, max_examples=examples(100))
settings.load_profile("mainstay")

BESIDE = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Gives the path of a real data set, or skips the test, saying so, where it is absent."""
    folder = Path(os.environ.get("MAINSTAY_TEST_DATA", BESIDE))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"the data set {name} is not here: set MAINSTAY_TEST_DATA to the folder that holds it")
        return path

    return find


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server; skips where there is none."""
    with backends.postgres() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty schema."""
    with backends.schema(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that leads to a server that speaks S3."""
    with backends.s3(tmp_path_factory.mktemp("s3") / "log") as environment:
        yield environment


@pytest.fixture
def s3_url(s3_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place for blobs; the environment leads to it."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    return f"s3://models/{secrets.token_hex(6)}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here ({mounted.stderr.strip()}); the quota tests do what they can")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)
