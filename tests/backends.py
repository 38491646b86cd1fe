"""Real servers of what a registry can stand on: PostgreSQL from Debian's package, and moto, which speaks S3."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PASSWORD = "p@ss:/%w${x}"
"""With all that a URL would have to quote."""
UP_WITHIN = 60.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL that is installed here."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server, its password as ${MAINSTAY_TEST_PASSWORD}; skips where there is none to start."""
    if url := os.environ.get("MAINSTAY_TEST_POSTGRES"):
        yield url
        return
    where = binaries()
    if where is None:
        reason = "PostgreSQL is not here: install Debian's postgresql, or set MAINSTAY_TEST_POSTGRES to a URL"
        if os.environ.get("MAINSTAY_REQUIRE_POSTGRES"):
            pytest.fail(reason)
        pytest.skip(reason)
    # PostgreSQL refuses to run as root; its package makes this user.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="mainstay-pg-"))
    process = None
    try:
        if user is not None:
            shutil.chown(folder, user)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        words = ["--auth=scram-sha-256", "--username=keeper", f"--pwfile={folder / 'password'}", "--encoding=UTF8"]
        made = subprocess.run(
            [where / "initdb", "--pgdata", folder / "data", "--no-sync", "--locale=C.UTF-8", *words],
            user=user, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        port = free_port()
        # Not fsync: no test cuts the power; all else is as the package has it.
        settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [where / "postgres", "-D", folder / "data", *(word for each in settings for word in ("-c", each))],
                user=user, cwd=folder, stdout=log, stderr=log,
            )  # fmt: skip
        os.environ["MAINSTAY_TEST_PASSWORD"] = PASSWORD
        until = time.monotonic() + UP_WITHIN
        while subprocess.run([where / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
            assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < until
            time.sleep(0.05)
        yield f"postgresql+psycopg://keeper:${{MAINSTAY_TEST_PASSWORD}}@127.0.0.1:{port}/postgres"
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def schema(server: str) -> Iterator[str]:
    """The URL of an empty schema of its own on a server."""
    import sqlalchemy

    from mainstay.registry.urls import expanded

    name = f"t{secrets.token_hex(6)}"
    engine = sqlalchemy.create_engine(expanded(server, os.environ, where="MAINSTAY_TEST_POSTGRES").url)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        yield f"{server}{'&' if '?' in server else '?'}options=-csearch_path%3D{name}"
        with engine.begin() as connection:
            connection.exec_driver_sql("SET lock_timeout = '20s'")
            connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
    finally:
        engine.dispose()


@contextmanager
def s3(log: Path) -> Iterator[dict[str, str]]:
    """The environment that leads to a server with the empty bucket `models`."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=output, stderr=output)
    try:
        endpoint, until = f"http://127.0.0.1:{port}", time.monotonic() + UP_WITHIN
        while True:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            try:
                make_bucket(endpoint, "models")
                break
            except urllib.error.URLError:
                assert time.monotonic() < until
                time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
    finally:
        process.kill()
        process.wait()


def make_bucket(endpoint: str, name: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT"), timeout=10):
        pass
