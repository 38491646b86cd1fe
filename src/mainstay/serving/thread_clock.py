"""A clock that stands still while its thread waits for a processor.

How long a model takes is not longer on a busy machine because others compute there: a candidate's process, which has
to be woken for each request, would seem slower than the stable version, which computes where the request came in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter

_SCHEDULED = "/proc/thread-self/schedstat"
"""Nanoseconds on a processor, nanoseconds that it waited for one, and how often it ran
(https://docs.kernel.org/scheduler/sched-stats.html)."""


def thread_clock() -> Callable[[], float]:
    """Seconds of the calling thread, which alone may ask it: what it computes, sleeps, and waits for files and locks.

    Where the system does not tell what a thread waits for, all seconds count.
    """
    try:
        file = os.open(_SCHEDULED, os.O_RDONLY | os.O_CLOEXEC)
        os.pread(file, 64, 0).split()[1]
    except (OSError, IndexError):
        return perf_counter

    def now() -> float:
        return perf_counter() - int(os.pread(file, 64, 0).split()[1]) * 1e-9

    return now
