"""What the processes of a server take from the machine, sampled by its supervisor, so that no worker spends time on it.

A process that dies takes along what it used since the last sample, and no more: its counts stay, and its successor's
are added to them.
"""

from __future__ import annotations

import mmap
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mainstay.release import release
from mainstay.serving import metrics
from mainstay.serving.logs import Log, place_of
from mainstay.serving.metrics import Slots, labelled

EVERY = 1.0
"""Seconds between two samples."""
_TICKS = os.sysconf("SC_CLK_TCK")
Kind = str
"""supervisor, worker, host, reader (of Arrow and Parquet), or a companion's, such as controller."""


class Process(NamedTuple):
    """One process, and what it is to the server."""

    kind: Kind
    name: str
    """Of a worker its number, of a host its version, of a reader its worker's number."""
    pid: int


class Seen(NamedTuple):
    """What the system says of a process."""

    cpu: float
    """Seconds."""
    started: int
    """Ticks since the machine's start: with the process id, this names it for ever."""
    resident: int
    """Bytes."""
    opened: int
    """File descriptors."""


class Usage:
    """Samples processes into counters of its own."""

    def __init__(self, slots: Slots, folder: Path) -> None:
        """`folder` is the project's state: the disk that it is on is sampled too."""
        self._slots, self._folder = slots, folder
        self._before: dict[Process, Seen] = {}

    def sample(self, processes: Iterable[Process]) -> None:
        """Adds what each process took since the last sample; what is gone has nothing any more."""
        self._slots.set(self._slots.place(metrics.BUILD + labelled(version=release(), python=_python())), 1.0)
        now = {process: seen for process in processes if (seen := look(process.pid)) is not None}
        names = {(process.kind, process.name) for process in now}
        for gone in self._before:
            if (gone.kind, gone.name) not in names:
                self._state(gone, 0, 0)
        for process, seen in now.items():
            before = self._before.get(process)
            known = before is not None and before.started == seen.started
            labels = labelled(process=process.kind, name=process.name)
            cpu, starts = (self._slots.place(metric + labels) for metric in (metrics.CPU, metrics.STARTS))
            self._slots.add(cpu, seen.cpu - (before.cpu if known and before is not None else 0.0))
            self._slots.add(starts, 0.0 if known else 1.0)
            self._state(process, seen.resident, seen.opened)
        self._before = now
        try:
            disk = shutil.disk_usage(self._folder)
        except OSError:
            return
        self._slots.set(self._slots.place(metrics.DISK_SIZE), disk.total)
        self._slots.set(self._slots.place(metrics.DISK_FREE), disk.free)

    def _state(self, process: Process, resident: int, opened: int) -> None:
        labels = labelled(process=process.kind, name=process.name)
        self._slots.set(self._slots.place(metrics.RESIDENT + labels), resident)
        self._slots.set(self._slots.place(metrics.OPEN_FILES + labels), opened)


class Sampling:
    """Samples every second, in a thread of its own: neither a slow registry nor a slow disk keeps it from that."""

    def __init__(self, usage: Usage, processes: Callable[[], Iterable[Process]], log: Log) -> None:
        self._usage, self._processes, self._log = usage, processes, log
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="usage", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Samples no more."""
        self._over.set()
        self._thread.join(EVERY)

    def _go_on(self) -> None:
        while not self._over.wait(EVERY):
            try:
                self._usage.sample(self._processes())
            except Exception as error:  # noqa: BLE001 - the next sample may be told again
                self._log("fault", f"What processes use could not be sampled: {place_of(error)}.", level="error")


def sample_server(
    run: Path,
    folder: Path,
    *,
    workers: Callable[[], Mapping[int, int]],
    hosts: Callable[[], Mapping[str, int]],
    companions: Callable[[], Mapping[str, int]],
    log: Log,
) -> Sampling:
    """Samples this process, the supervisor, and those that it has started.

    Args:
        run: the folder of this run.
        folder: the project's state.
        workers: gives the process ids of those that live, by number.
        hosts: gives process ids by version.
        companions: gives process ids by kind.
        log: is told of faults.
    """
    counted = run / metrics.FOLDER
    counted.mkdir(exist_ok=True)

    def processes() -> list[Process]:
        answering = [Process("worker", str(index), pid) for index, pid in workers().items()]
        beside = [Process("host", ref, pid) for ref, pid in hosts().items()]
        others = [Process(kind, "", pid) for kind, pid in companions().items()]
        return [Process("supervisor", "", os.getpid()), *others, *answering, *beside, *readers(answering)]

    return Sampling(Usage(Slots(counted / "supervisor.slots"), folder), processes, log)


def look(pid: int) -> Seen | None:
    """A process as it is now; None where it has ended, or the system does not tell."""
    of = Path(f"/proc/{pid}")
    try:
        stat = (of / "stat").read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()
        if stat[0] == "Z":
            return None
        pages = int((of / "statm").read_text(encoding="ascii").split()[1])
        opened = len(os.listdir(of / "fd"))  # noqa: PTH208 - ten thousand of them need no objects
    except (OSError, IndexError):
        return None
    return Seen((int(stat[11]) + int(stat[12])) / _TICKS, int(stat[19]), pages * mmap.PAGESIZE, opened)


def readers(workers: Iterable[Process]) -> list[Process]:
    """The processes that workers have started for themselves."""
    found = []
    for worker in workers:
        try:
            told = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text(encoding="ascii").split()
        except OSError:
            continue
        found += [Process("reader", worker.name, int(pid)) for pid in told]
    return found


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))
