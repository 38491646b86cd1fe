"""A server in a process of its own, for as long as a block runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mainstay.errors import MachineError
from mainstay.operations.home import state_of
from mainstay.registry.store import Registry

UP_WITHIN = 60.0
"""Seconds in which a server must be up."""
DOWN_WITHIN = 30.0
"""Seconds in which a server must have drained, before it is killed."""
LOG = "serve.log"


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    pid: int
    log: Path


class DidNotStart(MachineError):
    """The server ended, or was not ready in time."""


@contextmanager
def background(
    folder: Path, *, host: str = "127.0.0.1", port: int = 0, trusted: Sequence[str] = ()
) -> Iterator[Running]:
    """Runs `mainstay serve` beside this process; on leaving, it drains and ends. Its log goes into a file.

    Raises:
        DidNotStart: with the last lines of its log.
    """
    state = state_of(folder)
    state.mkdir(parents=True, exist_ok=True)
    log = state / LOG
    command = [sys.executable, "-m", "mainstay", "serve", "--host", host, "--port", str(port)]
    environment = dict(os.environ)
    if trusted:
        (state / "trusted-here.txt").write_text("\n".join(trusted), encoding="utf-8")
        command += ["--trust", str(state / "trusted-here.txt")]
    with log.open("ab") as output:
        # A session of its own: Ctrl-C in a terminal reaches this process alone, which then ends the server in order.
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield Running(url=_up(process, state, log), pid=process.pid, log=log)
        finally:
            _end(process)


def _up(process: subprocess.Popen[bytes], state: Path, log: Path) -> str:
    until = time.monotonic() + UP_WITHIN
    with Registry.open(state) as registry:
        while time.monotonic() < until:
            if process.poll() is not None:
                raise DidNotStart(f"The server ended at once (exit code {process.returncode}): {_last(log)}")
            url = next((member.url for member in registry.members() if member.pid == process.pid), None)
            if url is not None and _answers(f"{url}/healthz"):
                return url
            time.sleep(0.05)
    raise DidNotStart(f"The server was not ready within {UP_WITHIN:g} s: {_last(log)}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - http, of our own server
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
