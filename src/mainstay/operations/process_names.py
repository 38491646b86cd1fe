"""Names of processes that no other process ever has, by which it can be told on their own machine whether they live."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec


class ProcessName(msgspec.Struct, frozen=True, array_like=True):
    """What a process is named by."""

    host: str
    boot: str
    """Of the machine: a new one each time it starts."""
    space: str
    """What process ids are counted in: a container has its own."""
    pid: int
    started: str
    """When, in ticks since the machine did."""


def this_process() -> str:
    """The name of this process; on a system without /proc, of no use to `ended`."""
    host, boot, space = _here()
    pid = os.getpid()
    return msgspec.json.encode(ProcessName(host, boot, space, pid, _started(pid) or "")).decode()


def ended(name: str) -> bool:
    """Whether a process of this machine is known to have ended; of another machine's, nothing is known."""
    try:
        named = msgspec.json.decode(name, type=ProcessName)
    except msgspec.DecodeError:
        return False  # a name of somebody else's making
    here = _here()
    known = bool(named.started and here[1]) and (named.host, named.boot, named.space) == here
    return known and _started(named.pid) != named.started


def _here() -> tuple[str, str, str]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return socket.gethostname(), boot, str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return socket.gethostname(), "", ""


def _started(pid: int) -> str | None:
    """None: there is none, or it has ended and is only still listed."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if stat[0] == "Z" else stat[19]
