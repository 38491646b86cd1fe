"""A child process made by forking this one, for what is loaded here already and would be loaded there again.

A fork copies more than is meant: open files, signal handlers, what is to be done at the end. So the child keeps the
files that are named and no others, takes its signals as a new process does, and ends without ever returning to what
this process was about to do. Only a process of one thread is forked: no other could have held a lock meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

STEP, LONGEST_STEP = 0.001, 0.05
"""Seconds between two looks whether a child has ended, while it is waited for."""
_TOLD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def can_fork() -> bool:
    """Whether a fork of this process is safe: on other systems, what they bring along may not survive one."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return False
    try:
        for number in range(3):
            os.fstat(number)
    except OSError:  # what a pipe would take the place of
        return False
    return True


class Forked:
    """A child that was forked, to be used as a `subprocess.Popen` is by who keeps it alive."""

    def __init__(self, pid: int, stdin: BinaryIO) -> None:
        """`stdin` is this end of the child's standard input."""
        self.pid, self.stdin = pid, stdin
        self.returncode: int | None = None
        """As Popen has it: the exit code, or less than zero by which signal it ended; None while it lives."""

    def poll(self) -> int | None:
        """The return code, once it has ended."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The return code; raises subprocess.TimeoutExpired where it has not ended in so many seconds."""
        within = float("inf") if timeout is None else timeout
        until, step = time.monotonic() + within, STEP
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"process {self.pid}", within)
            time.sleep(step)
            step = min(2 * step, LONGEST_STEP)
        return code

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        # Its id is its own until it was waited for.
        if self.poll() is None:
            os.kill(self.pid, number)


def forked(run: Callable[[], object], *, pass_fds: Sequence[int]) -> Forked:
    """Runs a function in a child, whose only open files are the standard ones and those named.

    Its standard input is a pipe from here, which ends when this process does.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):  # there may be none, or none that takes anything
            stream.flush()  # else what it holds would be written twice
    theirs, ours = os.pipe()
    # A signal that came between the fork and the child's own handlers would be told to nobody.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)
    try:
        pid = os.fork()
        if pid == 0:
            _child(run, theirs, pass_fds, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(theirs)
    return Forked(pid, os.fdopen(ours, "wb", buffering=0))


def called(name: str) -> None:
    """Has lists of processes (ps, top) call this one so, by at most 15 letters: a fork has its parent's command."""
    with suppress(OSError):  # a system without it
        Path("/proc/self/comm").write_text(name, encoding="ascii")


def _child(run: Callable[[], object], stdin: int, pass_fds: Sequence[int], mask: set[int]) -> None:
    """Does the child's work, and ends the process: nothing of what the parent was in the middle of goes on here."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP):  # they reach the whole group, and the parent decides
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.dup2(stdin, 0)
        _close_all_but(pass_fds)
        sys.stdin = os.fdopen(0, "r", closefd=False)
        run()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, it ends here, and must not reach what the parent has to do
        traceback.print_exc()
    finally:
        try:
            for stream in (sys.stdout, sys.stderr):
                with suppress(AttributeError, OSError, ValueError):
                    stream.flush()
        finally:
            os._exit(code)


def _close_all_but(kept: Sequence[int]) -> None:
    """Closes what a new program would not have got either; the standard streams stay."""
    after = 3
    for number in sorted(kept):
        os.closerange(after, number)
        after = number + 1
    os.closerange(after, os.sysconf("SC_OPEN_MAX"))
