"""Names of processes, by which a successor knows that one has ended."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec

from mainstay.operations.process_names import ProcessName, ended, this_process


def test_a_process_that_lives_has_not_ended():
    assert not ended(this_process())


def test_one_that_was_killed_has_ended_though_nobody_has_waited_for_it():
    code = "from mainstay.operations.process_names import this_process; print(this_process(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        name = process.stdout.readline().decode().strip()
        assert not ended(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert ended(name)
    assert ended(name)


def test_another_process_of_the_same_number_is_not_it():
    here = msgspec.json.decode(this_process(), type=ProcessName)
    assert ended(msgspec.json.encode(msgspec.structs.replace(here, started="1")).decode())


def test_of_other_machines_boots_and_containers_nothing_is_known():
    here = msgspec.json.decode(this_process(), type=ProcessName)
    for other in ({"host": "elsewhere"}, {"boot": "before"}, {"space": "pid:[1]"}, {"started": ""}):
        gone = msgspec.structs.replace(here, pid=2**30, **other)
        assert not ended(msgspec.json.encode(gone).decode())
    assert not ended("ada@laptop")
