"""The first workers are forks of the server: with nothing of it that a new program would not have got."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from live import serving, until
from subjects import GOOD, ROW, loan

from mainstay.serving.routing import acknowledgements
from mainstay.serving.runs import WORKER

BEGIN = """
import atexit, os, signal, sys, tempfile, threading
from pathlib import Path
from mainstay.serving.forking import can_fork, forked

signal.signal(signal.SIGTERM, lambda *_: None)
assert can_fork()
"""


def ran(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", BEGIN + code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_child_that_fails_leaves_what_its_parent_has_to_do_to_the_parent(tmp_path):
    code = """
def fail():
    print("child")
    raise ValueError("no")

atexit.register(lambda: print("at the end of", os.getpid() == own))
own = os.getpid()
print("before, in a buffer", end=" ")
with tempfile.TemporaryDirectory() as folder:
    try:
        codes = [forked(run, pass_fds=()).wait(20) for run in (fail, lambda: sys.exit(7), lambda: None)]
        assert codes == [1, 7, 0], codes
        assert Path(folder).is_dir()
    finally:
        print("cleaned")
"""
    done = ran(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["before, in a buffer child", "cleaned", "at the end of True", ""]
    assert done.stderr.endswith("ValueError: no\n")


def test_a_child_has_the_files_that_are_named_and_a_pipe_that_ends_with_its_parent(tmp_path):
    code = """
_, _, (passed, told), _ = [os.pipe() for _ in range(4)]

def is_open(number):
    try:
        return bool(os.fstat(number))
    except OSError:
        return False

def child():
    read = sys.stdin.read()
    os.write(told, f"{read!r} {[number for number in range(100) if is_open(number)]}".encode())

children = [forked(child, pass_fds=(told, passed)) for _ in range(2)]
children[0].stdin.close()  # of which the other one, made later, holds no copy
assert children[0].wait(20) == 0
assert children[1].poll() is None
assert os.read(passed, 999).decode() == f"'' {[0, 1, 2, passed, told]}"
children[1].kill()
assert children[1].wait(20) == -signal.SIGKILL
assert children[1].poll() == -signal.SIGKILL
children[1].terminate()  # to nobody
"""
    done = ran(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_heeds_being_told_to_end_from_its_first_moment_on(tmp_path):
    code = """
for _ in range(40):
    child = forked(lambda: threading.Event().wait(60), pass_fds=())
    child.terminate()
    assert child.wait(20) == -signal.SIGTERM
"""
    done = ran(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_of_several_threads_is_not_forked(tmp_path):
    code = """
over = threading.Event()
other = threading.Thread(target=over.wait)
other.start()
assert not can_fork()
over.set()
other.join()
assert can_fork()
os.close(0)
assert not can_fork()
"""
    done = ran(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def run_of(server) -> Path:
    (run,) = (server.folder / ".mainstay" / "run").iterdir()
    return run


def test_workers_have_nothing_of_the_registry_and_are_replaced(tmp_path):
    with serving(tmp_path, ("loan", loan()), options=("--workers", "2")) as server:
        workers = until(lambda: len(found := server.workers()) == 2 and found)
        for worker in workers:
            files = {str(each.readlink()) for each in Path(f"/proc/{worker.pid}/fd").iterdir()}
            assert not [each for each in files if "registry" in each]
            # The lock on the run's folder is the server's alone: by it, another one sees that it is gone.
            assert not [each for each in files if Path(each).parent.name == "run"]
            assert not [each.path for each in worker.memory_maps() if "sqlalchemy" in each.path]
            listened = [each for each in worker.net_connections("tcp") if each.status == "LISTEN"]
            assert {each.laddr.port for each in listened} == {server.port}
        victim = workers[0]
        assert "mainstay.serving.worker" not in victim.cmdline()
        victim.kill()
        after = until(lambda: len(found := server.workers()) == 2 and victim not in found and found)
        (new,) = [each for each in after if each not in workers]
        assert "mainstay.serving.worker" in new.cmdline()
        assert new.name() == WORKER
        # Callers go to either, and each has the version.
        until(lambda: {said.pid for said in acknowledgements(run_of(server))} >= {each.pid for each in after})
        for _ in range(20):
            said = httpx.post(f"{server.url}/predict", json=ROW).json()
            assert said["probabilities"]["good"] == pytest.approx(GOOD)
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert not list((tmp_path / ".mainstay" / "run").iterdir())
