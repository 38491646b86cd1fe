"""Traces of requests: which are traced, and when each step of one began and ended.

Off, there is no tracer at all. On, a request costs an object and a few readings of the clock; ids, documents and the
network are a thread's business (`serving.otlp`). What people send is never part of a trace.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from time import perf_counter_ns, time_ns
from typing import NamedTuple

from mainstay.serving.protocols.codec import Given

_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_LONGEST_STATE = 512
"""Characters of `tracestate` that must be passed on (W3C Trace Context, 3.3.1.5)."""


class Parent(NamedTuple):
    """The span that a caller's request is part of."""

    trace: str
    """32 hexadecimal digits."""
    span: str
    """16 hexadecimal digits."""
    sampled: bool
    state: str = ""
    """What others keep with the trace, as it came."""


def parent_of(given: Given) -> Parent | None:
    """What `traceparent` says (W3C Trace Context, 3.2); None where it is absent, or not to be understood."""
    said = given.get("traceparent")
    found = None if said is None else _PARENT.match(said)
    if found is None:
        return None
    edition, trace, span, flags, more = found.groups()
    if edition == "00" and more is not None:
        return None
    state = given.get("tracestate") or ""
    return Parent(trace, span, bool(int(flags, 16) & 1), state if len(state) <= _LONGEST_STATE else "")


class Trace:
    """One request under way."""

    __slots__ = ("begun", "ended", "parent", "steps", "time")

    def __init__(self, parent: Parent | None) -> None:
        """Begins with the step "read"."""
        self.parent = parent
        self.time, self.begun = time_ns(), perf_counter_ns()
        self.steps: list[tuple[str, int]] = [("read", self.begun)]
        """What was done, and when it began, by `perf_counter_ns`; each step ends where the next begins."""
        self.ended = 0

    def set_back(self, seconds: float) -> None:
        """Has it begun earlier, before its first step was over."""
        earlier = round(seconds * 1e9)
        self.time, self.begun = self.time - earlier, self.begun - earlier
        self.steps[0] = self.steps[0][0], self.begun

    def step(self, name: str) -> None:
        """Begins the next step."""
        self.steps.append((name, perf_counter_ns()))

    def queue(self) -> None:
        """The model is not free, so that what has just begun is waiting."""
        self.steps[-1] = "queue", self.steps[-1][1]

    def asked(self) -> None:
        """The wait is over."""
        self.step("model")


class Told(NamedTuple):
    """A request that was answered."""

    trace: Trace
    model: str
    version: str
    protocol: str
    status: int
    rows: int

    @property
    def spans(self) -> int:
        """How many spans it becomes."""
        return 1 + len(self.trace.steps)


class Tracer:
    """Decides which requests are traced."""

    def __init__(self, put: Callable[[Told], None], *, share: float) -> None:
        """`put` takes what is told; `share` is that of the requests that come without a parent."""
        self._put, self._share = put, share

    def begin(self, given: Given) -> Trace | None:
        """The trace of a request; None where its caller says that it is not traced, or chance does."""
        parent = parent_of(given)
        sampled = random.random() < self._share if parent is None else parent.sampled  # noqa: S311 - no secret
        return Trace(parent) if sampled else None

    def end(self, trace: Trace, *, model: str, version: str, protocol: str, status: int, rows: int) -> None:
        """Hands a trace on; the request has its answer."""
        trace.ended = perf_counter_ns()
        self._put(Told(trace, model, version, protocol, status, rows))

    def refused(self, given: Given, *, seconds: float, model: str, protocol: str, status: int) -> None:
        """Tells of a request that no version answers, which came so many seconds ago; `model` may be empty."""
        trace = self.begin(given)
        if trace is not None:
            trace.set_back(seconds)
            self.end(trace, model=model, version="", protocol=protocol, status=status, rows=0)
