"""Processes that a benchmark starts: on a free port, ended with all their children, measured."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


def free_ports(number: int = 1) -> int:
    """The first of `number` neighbouring ports that are free."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = int(probe.getsockname()[1])
        if first + number < 65536 and all(_free(first + further) for further in range(number)):
            return first


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def group(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Iterator[int]:
    """A process in a group of its own, its output thrown away; told to end, and then ended, with its group."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(env),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    family = psutil.Process(process.pid)
    try:
        yield process.pid
    finally:
        children = family.children(recursive=True) if process.poll() is None else []
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            time.sleep(0.5)
        for child in children:  # those that left the group
            if child.is_running():
                child.kill()
        process.wait()


def used(pid: int) -> float:
    """Seconds of processor time that a process and its children have taken."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(each.cpu_times().user + each.cpu_times().system for each in family))


def memory(pid: int) -> float:
    """Bytes that a process and its children keep in memory, pages shared between them counted once."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(each.memory_full_info().pss for each in family))
