"""A server in a process of its own, for as long as a block runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mainstay.errors import MachineError
from mainstay.operations.home import state_of
from mainstay.operations.registries import opened

UP_WITHIN = 60.0
"""Seconds in which a server must be up."""
DOWN_WITHIN = 30.0
"""Seconds in which a server must have drained, before it is killed."""
LOOK = 0.05
"""Seconds between two looks at whether it is up."""
LOG = "serve.log"
TRUSTED = "trusted-here.txt"


class DidNotStart(MachineError):
    """The server ended, or was not ready in time."""


class ServerEnded(MachineError):
    """The server ended although nobody asked it to."""


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def lives(self) -> bool:
        return self.process.poll() is None

    def check(self) -> None:
        """Raises ServerEnded, with the last line of its log, where it did."""
        if not self.lives():
            raise ServerEnded(f"The server ended (exit code {self.process.returncode}): {_last(self.log)}")


@contextmanager
def background(
    folder: Path, *, host: str = "127.0.0.1", port: int = 0, trusted: Sequence[str] = (), rollouts: bool = False
) -> Iterator[Running]:
    """Runs `mainstay serve` beside this process; on leaving, it drains and ends. Its log goes into a file.

    It also ends when this process does without leaving the block, however that happens.

    Args:
        folder: of the project, where something is deployed.
        port: 0 takes a free one.
        rollouts: run `mainstay up` in its place, which moves them.
        trusted: types that native models may hold, in place of what the folder says.

    Raises:
        DidNotStart: with the last line of its log.
    """
    state = state_of(folder)
    state.mkdir(parents=True, exist_ok=True)
    log = state / LOG
    command = [
        sys.executable,
        "-m",
        "mainstay",
        "up" if rollouts else "serve",
        "--host",
        host,
        "--port",
        str(port),
        "--with-parent",
    ]
    if trusted:
        (state / TRUSTED).write_text("\n".join(trusted), encoding="utf-8")
        command += ["--trust", str((state / TRUSTED).absolute())]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C in a terminal reaches this process alone, which then ends the server in order.
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield Running(url=_up(process, folder, log), log=log, process=process)
    finally:
        _end(process)


def _up(process: subprocess.Popen[bytes], folder: Path, log: Path) -> str:
    """The server's URL, once it is ready."""
    until = time.monotonic() + UP_WITHIN
    here = socket.gethostname()
    with opened(folder) as registry:
        while time.monotonic() < until:
            if process.poll() is not None:
                raise DidNotStart(f"The server ended at once (exit code {process.returncode}): {_last(log)}")
            mine = (each for each in registry.members() if (each.pid, each.host) == (process.pid, here))
            member = next(mine, None)
            if member is not None and _ready(member.url):
                return member.url
            # Of the models: a version beside, told by "credit:2", keeps nobody from answering.
            troubles = [] if member is None else [why for name, why in member.errors.items() if ":" not in name]
            if troubles:
                raise DidNotStart(f"The server could not load what is deployed: {'; '.join(troubles)}")
            time.sleep(LOOK)
    raise DidNotStart(f"The server was not ready within {UP_WITHIN:g} s: {_last(log)}")


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - http, of our own server
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _last(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing."


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(DOWN_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()
