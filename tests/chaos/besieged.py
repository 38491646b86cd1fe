"""A server whose parts are killed, stopped, starved and corrupted, each by its own process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from live import answers, until
from load import Load

from backends import Postgres
from mainstay.models.package import Draft, Package
from mainstay.operations.registries import opened
from mainstay.registry.store import Registry
from mainstay.serving.runs import WORKER

HOST, CONTROLLER = "mainstay.serving.host", "mainstay.operations.controlling"
UP_WITHIN = 60.0
AGAIN_AFTER = 1.0
"""Seconds, as our units have systemd wait before it starts a service again."""
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""The process is told its own id, and finds the socket at 3."""
PROJECT = """\
name = "one"
task = "regression"
target = "y"
[data]
path = "none.csv"
[columns]
x = "number"
[registry]
url = "{url}"
blobs = "blobs"
"""
LOCKS = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@dataclass
class Besieged:
    """`mainstay up` in a project, on a socket that is held for it as systemd does."""

    folder: Path
    listener: socket.socket
    workers: int = 2
    command: str = "up"
    small: bool = False
    """Whether its state is on a small disk of its own."""
    process: subprocess.Popen[bytes] | None = None
    family: dict[int, psutil.Process] = field(default_factory=dict)
    """Every process that was ever seen to be of it."""
    ended_itself: int = 0
    """How often the supervisor did, as one that starts without a disk or a database does, and was started again."""

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        return self.folder / ".mainstay"

    def registry(self) -> Registry:
        """Whatever its project says: SQLite, or a server of PostgreSQL."""
        return opened(self.folder)

    def start(self) -> None:
        """Starts it, again where it ended or was killed; does not wait."""
        held = str(self.listener.fileno())
        words = ["-m", "mainstay", self.command, "--port", str(self.port), "--workers", str(self.workers)]
        with (self.folder / "serve.log").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", AS_SYSTEMD, held, sys.executable, *words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(self.listener.fileno(),),
            )

    def keep(self) -> bool:
        """Starts the supervisor again where it has ended, as systemd would; whether it is there."""
        assert self.process is not None
        if self.process.poll() is None:
            return True
        self.ended_itself += 1
        time.sleep(AGAIN_AFTER)
        self.start()
        return False

    def ready(self) -> None:
        """Waits until it answers, with all of its parts."""

        def whole() -> bool:
            if not self.keep():
                return False
            parts = [WORKER] * self.workers + [CONTROLLER] * (self.command == "up")
            with self.registry() as registry:
                here = [m for m in registry.members() if self.process is not None and m.pid == self.process.pid]
                followed = any(m.generation >= registry.generation() for m in here)
            return followed and sorted(parts) == sorted(self.parts())

        try:
            until(whole, UP_WITHIN)
            until(lambda: answers(self.url), UP_WITHIN)
        except BaseException:
            print((self.folder / "serve.log").read_text()[-4000:])
            raise

    def parts(self) -> list[str]:
        """What runs beside the supervisor now, hosts aside."""
        return [module for module in (WORKER, CONTROLLER) for _ in self.children(module)]

    def children(self, module: str) -> list[psutil.Process]:
        """The living processes that the supervisor runs a module in, or the workers."""
        found: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            assert self.process is not None
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    self.family[child.pid] = child
                    if module in (*child.cmdline(), child.name()):
                        found.append(child)
        return found

    def kill_worker(self, load: Load, number: int) -> None:
        """kill -9 of a worker; the connections that it had are excused."""
        victims = self.children(WORKER)
        if not victims:
            return
        victim = victims[number % len(victims)]
        with suppress(psutil.NoSuchProcess):
            victim.suspend()  # it accepts no more, so that what it has can be listed
            until(lambda: stands_still(victim))
            load.excused |= {each.raddr.port for each in victim.net_connections("tcp") if each.raddr}
            victim.kill()

    def kill_host(self, package: Package) -> bool:
        """kill -9 of the host process of a version; whether there was one."""
        digest = package.manifest.files["model.onnx"].sha256
        for host in self.children(HOST):
            with suppress(psutil.NoSuchProcess, OSError, ValueError):
                words = host.cmdline()
                if digest in Path(words[words.index("--manifest") + 1]).read_text():
                    host.kill()
                    return True
        return False

    def kill(self, module: str) -> int:
        """kill -9 of every process of a kind; how many there were."""
        victims = self.children(module)
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        return len(victims)

    def kill_supervisor(self) -> None:
        """kill -9, and starts another one, as systemd would."""
        assert self.process is not None
        self.children("")  # so that those whom it leaves behind are known
        self.process.kill()
        self.process.wait()
        self.start()

    def storm(self, module: str | None, times: int) -> None:
        """SIGTERM again and again: to the processes of a kind, or to the supervisor, which is then started again."""
        if module is None:
            self.keep()
        assert self.process is not None
        for _ in range(times):
            victims = [psutil.Process(self.process.pid)] if module is None else self.children(module)
            for victim in victims:
                with suppress(psutil.NoSuchProcess):
                    victim.send_signal(signal.SIGTERM)
            time.sleep(0.01)
            if module is None and self.process.poll() is not None:
                break
        if module is None:
            self.process.wait(60)
            self.start()

    @contextmanager
    def locked_database(self) -> Iterator[None]:
        """Another process has the database for itself."""
        with subprocess.Popen(
            [sys.executable, "-c", LOCKS, str(self.state / "registry.db")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as keeper:
            assert keeper.stdin is not None
            assert keeper.stdout is not None
            try:
                assert keeper.stdout.readline() == b"locked\n"
                yield
            finally:
                keeper.stdin.close()
                keeper.wait(30)

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """The state folder's own small disk has no byte left."""
        filler = self.state / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"0" * 65536)
        try:
            yield
        finally:
            filler.unlink()

    def damage(self, package: Package) -> Callable[[], None]:
        """Changes a bit of a version's model where it lies; what makes it whole again."""
        digest = package.manifest.files["model.onnx"].sha256
        (blob,) = [path for path in (self.state / "blobs").rglob("*") if digest in str(path).replace("/", "")]
        whole = blob.read_bytes()
        blob.chmod(0o644)
        blob.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])

        def mend() -> None:
            blob.write_bytes(whole)

        return mend

    def end(self) -> None:
        """Ends every process of it, whatever became of them."""
        if self.process is not None:
            self.children("")
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(40)
        for each in (*self.family.values(), *([] if self.process is None else [self.process])):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                each.kill()  # psutil knows a process by its time of birth too
        if self.process is not None:
            self.process.wait()
        self.listener.close()


def stands_still(process: psutil.Process) -> bool:
    """Whether each of its threads has stopped: one that was in the middle of accepting has done so."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/stat")
    return all(task.read_text().rpartition(")")[2].split()[0] in "TtZX" for task in tasks)


@contextmanager
def besieged(
    folder: Path,
    *models: tuple[str, Draft],
    workers: int = 2,
    disk: str | None = None,
    database: Postgres | None = None,
) -> Iterator[Besieged]:
    """A server of some models in a fresh project.

    Args:
        disk: size of a file system of its own for its state, such as "64m"; None: the folder's.
        database: of its registry; None: SQLite.
    """
    state = folder / ".mainstay"
    state.mkdir(parents=True, exist_ok=True)
    if disk is not None:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", str(state)], capture_output=True, check=False
        )
        disk = None if mounted.returncode else disk
    if database is not None:
        (folder / "mainstay.toml").write_text(PROJECT.format(url=database.url))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    os.set_inheritable(listener.fileno(), True)
    running = Besieged(folder, listener, workers, small=disk is not None)
    try:
        with running.registry() as registry:
            for name, draft in models:
                version = registry.add(name, draft, passed=True, actor="test", summary={})
                registry.deploy(version, expecting=None, actor="test")
        running.start()
        running.ready()
        yield running
    finally:
        running.end()
        if disk is not None:
            subprocess.run(["umount", "-l", str(state)], check=True)
