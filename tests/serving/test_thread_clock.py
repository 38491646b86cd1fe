"""The clock of a thread: what it does counts, and its wait for a processor does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from mainstay.serving.thread_clock import thread_clock


def test_what_a_thread_sleeps_counts():
    clock = thread_clock()
    begun = clock()
    time.sleep(0.05)
    assert clock() - begun >= 0.05


def test_what_it_waits_for_others_on_its_processor_does_not():
    """Two that compute on one processor have half of it each: the wait is as long as the work."""
    allowed = os.sched_getaffinity(0)
    other = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        for pid in (0, other.pid):
            os.sched_setaffinity(pid, {min(allowed)})
        clock = thread_clock()
        told, wall, worked = clock(), time.perf_counter(), time.thread_time()
        while time.thread_time() - worked < 0.4:
            pass
        told, wall, worked = clock() - told, time.perf_counter() - wall, time.thread_time() - worked
    finally:
        os.sched_setaffinity(0, allowed)
        other.kill()
        other.communicate()
    waited = wall - worked
    assert waited > 0.1
    assert told - worked < waited / 4
