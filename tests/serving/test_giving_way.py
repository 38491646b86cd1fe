"""Which threads of a worker may interrupt which."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from live import serving
from subjects import loan

from mainstay.serving.giving_way import threads_give_way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="policies of Linux")


def policies(pid: int) -> dict[int, int]:
    """The policy of each thread of a process."""
    return {int(each.name): os.sched_getscheduler(int(each.name)) for each in Path(f"/proc/{pid}/task").iterdir()}


def test_the_threads_of_the_network_give_way_to_the_one_that_answers(tmp_path):
    with serving(tmp_path, ("loan", loan())) as server:
        (worker,) = server.workers()
        found = policies(worker.pid)
        assert found.pop(worker.pid) == os.SCHED_OTHER
        assert list(found.values()).count(os.SCHED_BATCH) >= 2


def test_this_thread_stays_as_it_was():
    async def began() -> int:
        threads_give_way(asyncio.get_running_loop())
        now = os.sched_getscheduler(0)
        await asyncio.sleep(0)
        return now

    assert asyncio.run(began()) == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_policy_that_the_operator_chose_stays():
    code = (
        "import asyncio, os\n"
        "from mainstay.serving.giving_way import threads_give_way\n"
        "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
        "loop = asyncio.new_event_loop(); threads_give_way(loop)\n"
        "assert os.sched_getscheduler(0) == os.SCHED_IDLE\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
