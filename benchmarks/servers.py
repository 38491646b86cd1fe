"""Mainstay and the bare application, each on a core of its own; and how any server is asked."""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import processes

HERE = Path(__file__).resolve().parent
JSON = "application/json"
SETTLED_AFTER = 2.0
"""Seconds after its first answer in which a server has loaded all that it loads."""


@contextmanager
def bare(model: Path, *, cores: str = "0", workers: int = 1, app: str = "app") -> Iterator[tuple[int, int]]:
    """The bare application: its port and its process id. `model` is the folder that `subjects.bare_files` wrote; `app`
    is for one row by name, `rows` for many as bytes."""
    port = processes.free_ports()
    command = ["taskset", "-c", cores, sys.executable, "-m", "granian", "--interface", "rsgi", "--no-ws"]
    command += ["--loop", "uvloop", "--http", "1", "--workers", str(workers), "--port", str(port)]
    with processes.group(
        [*command, "--log-level", "error", f"bare:{app}"], cwd=HERE, env={**os.environ, "BARE_MODEL": str(model)}
    ) as pid:
        yield port, pid


@contextmanager
def mainstay(project: Path, *options: str, cores: str = "0", grpc: bool = False) -> Iterator[tuple[int, int]]:
    """`mainstay serve` in a project: its port and its process id; with gRPC, if it is wanted, one port above."""
    port = processes.free_ports(2)
    options = (*options, "--grpc-port", str(port + 1)) if grpc else options
    command = ["taskset", "-c", cores, sys.executable, "-m", "mainstay", "serve", "--port", str(port), *options]
    with processes.group(command, cwd=project, env=os.environ) as pid:
        yield port, pid


def ask(port: int, path: str, body: bytes, *, kind: str = JSON, pause: float = 0.05, within: float = 120.0) -> bytes:
    """One answer, asked for until the server is up. Raises OSError."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, headers={"content-type": kind})
    until = time.monotonic() + within
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(pause)


def shares(said: dict[str, Any]) -> list[float]:
    """The probabilities of a plain answer about one row."""
    found = said["probabilities"]
    return list((found[0] if isinstance(found, list) else found).values())


def first_answer(start: Any, path: str, body: bytes) -> tuple[float, float]:
    """Seconds from the start of a server (a context manager of port and process id) to its first answer; its memory
    once everything is loaded, which need not be so at the first answer."""
    begun = time.perf_counter()
    with start as (port, pid):
        json.loads(ask(port, path, body, pause=0.002))
        taken = time.perf_counter() - begun
        time.sleep(SETTLED_AFTER)
        return taken, processes.memory(pid)
