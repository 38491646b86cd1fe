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
from dataclasses import dataclass
from pathlib import Path

import psutil
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


@dataclass
class Postgres:
    """A server of PostgreSQL that is a test's own: it can be taken away, and comes back with all that was committed."""

    where: Path
    """The folder of its programs."""
    folder: Path
    port: int
    user: str | None
    """PostgreSQL refuses to run as root; its package makes a user."""

    @property
    def url(self) -> str:
        """Its password as ${MAINSTAY_TEST_PASSWORD}."""
        return f"postgresql+psycopg://keeper:${{MAINSTAY_TEST_PASSWORD}}@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *words: str | Path) -> None:
        told = self.folder / "told"  # a file: the server would keep a pipe open
        with told.open("wb") as output:
            done = subprocess.run(
                [self.where / program, *words],
                user=self.user,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                check=False,
            )
        assert done.returncode == 0, told.read_text(encoding="utf-8")

    def start(self) -> None:
        # Not fsync: no test cuts the power; all else is as the package has it.
        settings = (
            f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        )
        # Under init, not under this process, whose children some tests count.
        self.run("pg_ctl", "start", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o", settings)

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", self.folder / "data")

    @contextmanager
    def away(self) -> Iterator[None]:
        """It is gone, as if its machine had been cut off from power: connections break, and new ones are refused."""
        self.stop("immediate")
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It neither answers nor refuses: whoever asks it waits."""
        main = psutil.Process(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]))
        # The one that makes the others first, so that none is missed.
        held = [main]
        main.suspend()
        for child in main.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.suspend()
                held.append(child)
        try:
            yield
        finally:
            for each in reversed(held):
                with suppress(psutil.NoSuchProcess):
                    each.resume()


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a server, its password as ${MAINSTAY_TEST_PASSWORD}; skips where there is none to start."""
    if url := os.environ.get("MAINSTAY_TEST_POSTGRES"):
        yield url
        return
    with postgres_of_its_own() as server:
        yield server.url


@contextmanager
def postgres_of_its_own() -> Iterator[Postgres]:
    """A server that can be taken away; skips where there is none to start."""
    where = binaries()
    if where is None:
        reason = "PostgreSQL is not here: install Debian's postgresql, or set MAINSTAY_TEST_POSTGRES to a URL"
        if os.environ.get("MAINSTAY_REQUIRE_POSTGRES"):
            pytest.fail(reason)
        pytest.skip(reason)
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="mainstay-pg-"))
    server = Postgres(where, folder, free_port(), user)
    try:
        if user is not None:
            shutil.chown(folder, user)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        os.environ["MAINSTAY_TEST_PASSWORD"] = PASSWORD
        words = ["--auth=scram-sha-256", "--username=keeper", f"--pwfile={folder / 'password'}", "--encoding=UTF8"]
        server.run("initdb", "--pgdata", folder / "data", "--no-sync", "--locale=C.UTF-8", *words)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
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
    # Under init, not under this process, whose children some tests count.
    shell = '"$@" >"$LOG" 2>&1 & echo $!'
    words = ["sh", "-c", shell, "sh", sys.executable, "-m", "moto.server", "-p", str(port)]
    told = subprocess.run(words, env={**os.environ, "LOG": str(log)}, stdout=subprocess.PIPE, check=True)
    pid = int(told.stdout)
    try:
        endpoint, until = f"http://127.0.0.1:{port}", time.monotonic() + UP_WITHIN
        while True:
            try:
                make_bucket(endpoint, "models")
                break
            except urllib.error.URLError:
                assert time.monotonic() < until, log.read_text(encoding="utf-8")
                time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
    finally:
        os.kill(pid, signal.SIGKILL)


def make_bucket(endpoint: str, name: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT"), timeout=10):
        pass
