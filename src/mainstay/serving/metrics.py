"""Counters in shared memory: one file and one writer a process, summed at the scrape; a dead one's counts stay.

A file is a row of slots. A slot is a label (UTF-8, padded with zeros) and `NUMBERS` doubles; a label's first byte is
written last, so that a reader sees a label whole or not at all. An aligned double is written in one step on every
machine that we run on.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mainstay.serving.mapped import mapped

FOLDER = "metrics"
LABEL = 256
NUMBERS = 16
SLOT = LABEL + 8 * NUMBERS
SLOTS = 512
"""Slots a worker; label sets beyond them are counted together, metric by metric."""

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 30.0)
"""Upper bounds of the latency histogram, seconds."""

BATCHES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0)
"""Upper bounds of the histogram of batches, rows."""

REQUESTS, ROWS, SECONDS, IN_FLIGHT, QUEUE, QUEUE_SECONDS, BATCH_ROWS, LEFT = (
    "mainstay_requests_total",
    "mainstay_rows_total",
    "mainstay_request_seconds",
    "mainstay_requests_in_flight",
    "mainstay_queue_requests",
    "mainstay_queue_seconds",
    "mainstay_batch_rows",
    "mainstay_queue_left_total",
)
CPU, RESIDENT, OPEN_FILES, STARTS, DISK_FREE, DISK_SIZE, SPANS, SPANS_DROPPED, BUILD, ROLLOUT_SHARE = (
    "mainstay_process_cpu_seconds_total",
    "mainstay_process_resident_memory_bytes",
    "mainstay_process_open_fds",
    "mainstay_process_starts_total",
    "mainstay_disk_free_bytes",
    "mainstay_disk_size_bytes",
    "mainstay_spans_exported_total",
    "mainstay_spans_dropped_total",
    "mainstay_build_info",
    "mainstay_rollout_share",
)
HELP = {
    REQUESTS: ("counter", "Prediction requests by model, version, protocol and status code."),
    ROWS: ("counter", "Rows answered by model, version and protocol."),
    SECONDS: ("histogram", "Seconds from the whole body to the answer, by model, version and protocol."),
    IN_FLIGHT: ("gauge", "Prediction requests that are being answered, by model and version."),
    QUEUE: ("gauge", "Requests that wait for their model to get free, by model and version."),
    QUEUE_SECONDS: ("histogram", "Seconds that requests waited for their model to get free, by model and version."),
    BATCH_ROWS: ("histogram", "Rows that a model with a queue was asked at once, by model and version."),
    LEFT: ("counter", "Requests that a queue let go of unanswered, by model, version and reason."),
    CPU: ("counter", "Seconds of processor time, by process; those that processes took that are gone count on."),
    RESIDENT: ("gauge", "Bytes of memory that a process holds."),
    OPEN_FILES: ("gauge", "Files and connections that a process has open."),
    STARTS: ("counter", "Times that a process was started."),
    DISK_FREE: ("gauge", "Bytes that are free on the disk of the project's folder."),
    DISK_SIZE: ("gauge", "Bytes of the disk of the project's folder."),
    SPANS: ("counter", "Spans that the collector of traces took."),
    SPANS_DROPPED: ("counter", "Spans that were lost: more came than were sent, or the collector did not take them."),
    ROLLOUT_SHARE: (
        "gauge",
        "Share of the requests, copies or workers that a candidate has, by model and version.",
    ),
    BUILD: ("gauge", "1; the versions of Mainstay and of Python are its labels."),
}
"""The kind of each metric, and what it says."""
BOUNDS: Mapping[str, Sequence[float]] = {SECONDS: BUCKETS, QUEUE_SECONDS: BUCKETS, BATCH_ROWS: BATCHES}
_REST = '{model="(other)"}'


class Slots:
    """A process's own counters."""

    def __init__(self, path: Path) -> None:
        """Makes the file, or goes on with what a worker counted there that is dead now."""
        self._map = mapped(path, SLOT * SLOTS)
        self.numbers = memoryview(self._map).cast("d")
        """All of them; who counts each request adds to them here, from a `place` on."""
        self._places = {label: _begins(slot) for slot, label in enumerate(_labelled(self._map))}
        for label, begins in self._places.items():
            if HELP.get(label.split("{", 1)[0], ("",))[0] == "gauge":
                self.numbers[begins] = 0.0  # whatever was in flight, or waited, went down with the worker

    def place(self, label: str) -> int:
        """Where a label's numbers begin, in doubles; for `add`. Beyond the last slot a metric's labels share one."""
        found = self._places.get(label)
        if found is not None:
            return found
        raw, slot = label.encode(), len(self._places)
        rest = label.split("{", 1)[0] + _REST
        if label != rest and (slot >= SLOTS - len(HELP) or len(raw) > LABEL):
            return self.place(rest)
        begins = slot * SLOT
        # To its end: a worker that died in the midst of it may have left more behind.
        self._map[begins + 1 : begins + LABEL] = raw[1:].ljust(LABEL - 1, b"\0")
        self._map[begins] = raw[0]
        self._places[label] = _begins(slot)
        return self._places[label]

    def add(self, place: int, amount: float) -> None:
        self.numbers[place] += amount

    def set(self, place: int, value: float) -> None:
        self.numbers[place] = value

    def observe(self, place: int, value: float, bounds: Sequence[float]) -> None:
        """Adds to a histogram: to its sum, its count, and the bucket of the first bound that is not below the value."""
        numbers = self.numbers
        numbers[place] += value
        numbers[place + 1] += 1.0
        index = bisect_left(bounds, value)
        if index < len(bounds):
            numbers[place + 2 + index] += 1.0


class Counted:
    """The counters of one version in one protocol, found once, so that a request costs additions alone.

    They take their slots with the first request: most versions are asked in one protocol.
    """

    def __init__(self, slots: Slots, model: str, version: str, protocol: str) -> None:
        self._slots = slots
        self._labels = {"model": model, "version": version, "protocol": protocol}
        self._rows = self._seconds = 0
        self._codes: dict[int, int] = {}

    def answered(self, code: int, *, rows: int, seconds: float) -> None:
        """Counts one request."""
        place = self._codes.get(code)
        if place is None:
            place = self._place(code)
        slots = self._slots
        slots.numbers[place] += 1.0
        slots.numbers[self._rows] += rows
        slots.observe(self._seconds, seconds, BUCKETS)

    def _place(self, code: int) -> int:
        if not self._codes:
            labels = labelled(**self._labels)
            self._rows = self._slots.place(f"{ROWS}{labels}")
            self._seconds = self._slots.place(f"{SECONDS}{labels}")
        place = self._codes[code] = self._slots.place(f"{REQUESTS}{labelled(**self._labels, code=str(code))}")
        return place


class Queued:
    """The counters of the queue in front of one version; they take their slots when they are needed first."""

    def __init__(self, slots: Slots, model: str, version: str) -> None:
        self._slots, self._labels = slots, {"model": model, "version": version}
        self._places: dict[tuple[str, str], int] = {}

    def waiting(self, change: int) -> None:
        """So many more requests wait, or fewer."""
        self._slots.add(self._place(QUEUE), change)

    def ran(self, rows: int) -> None:
        """The model was asked so many rows at once."""
        self._slots.observe(self._place(BATCH_ROWS), rows, BATCHES)

    def waited(self, seconds: float) -> None:
        """A request has waited so long."""
        self._slots.observe(self._place(QUEUE_SECONDS), seconds, BUCKETS)

    def left(self, why: str) -> None:
        """A request went without an answer."""
        self._slots.add(self._place(LEFT, why), 1.0)

    def _place(self, metric: str, reason: str = "") -> int:
        place = self._places.get((metric, reason))
        if place is None:
            labels = self._labels | ({"reason": reason} if reason else {})
            place = self._places[metric, reason] = self._slots.place(f"{metric}{labelled(**labels)}")
        return place


class Spans:
    """The counters of traces. Their places are taken at once, since two threads count there: each has its own."""

    def __init__(self, slots: Slots) -> None:
        self._slots, self._exported = slots, slots.place(SPANS)
        self._dropped = {why: slots.place(SPANS_DROPPED + labelled(reason=why)) for why in ("queue", "collector")}

    def exported(self, spans: int) -> None:
        """The collector took so many."""
        self._slots.add(self._exported, spans)

    def dropped(self, spans: int, why: str) -> None:
        """So many are lost."""
        self._slots.add(self._dropped[why], spans)


def in_flight(slots: Slots, model: str, version: str) -> int:
    """Where the requests in flight of a version are counted."""
    return slots.place(f"{IN_FLIGHT}{labelled(model=model, version=version)}")


def summed(folder: Path) -> dict[str, list[float]]:
    """All workers' counters summed: `NUMBERS` by label."""
    sums: dict[str, list[float]] = {}
    for path in sorted(folder.glob("*.slots")):
        for label, numbers in _read(path.read_bytes()):
            total = sums.setdefault(label, [0.0] * NUMBERS)
            sums[label] = [a + b for a, b in zip(total, numbers, strict=True)]
    return sums


def _read(data: bytes) -> Iterator[tuple[str, list[float]]]:
    numbers = memoryview(data).cast("d")
    for slot, label in enumerate(_labelled(data)):
        begins = _begins(slot)
        yield label, list(numbers[begins : begins + NUMBERS])


def _labelled(data: bytes | mmap.mmap) -> Iterator[str]:
    """The labels of a file, slot by slot."""
    for begins in range(0, len(data) - SLOT + 1, SLOT):
        if data[begins] == 0:
            return
        yield data[begins : begins + LABEL].rstrip(b"\0").decode(errors="replace")


def _begins(slot: int) -> int:
    return (slot * SLOT + LABEL) // 8


def labelled(**labels: str) -> str:
    """Labels as they stand behind a metric's name."""
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
