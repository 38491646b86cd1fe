"""Which of a worker's threads interrupt which.

Linux lets a thread that has just been given something to do interrupt the one that runs. granian takes bytes in and
out in threads of its own: on a busy core, each packet would interrupt the thread that answers, and each answer theirs,
a switch or two for every request, and a sixth of its time. So granian's threads have the policy SCHED_BATCH, of
sched(7): they run when the one that answers has done what is there, or has had its slice of time, and find more to do
at once. Where a core is free, they are as quick as before; beside programs that keep every core busy, they wait for
those too.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress


def threads_give_way(loop: asyncio.AbstractEventLoop) -> None:
    """Has the threads give way that this one starts until the event loop gets round to something else.

    A policy that the operator chose for the server (chrt(1), CPUSchedulingPolicy= of systemd) stays, and so does the
    usual one where the system lets nobody choose.
    """
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        loop.call_soon(os.sched_setscheduler, 0, os.SCHED_OTHER, os.sched_param(0))
