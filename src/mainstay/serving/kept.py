"""A process that is kept alive: started again when it dies, after a pause where it dies young again and again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence

from mainstay.serving.ends import Ends
from mainstay.serving.forking import Forked, can_fork, forked
from mainstay.serving.logs import Log

CRASH_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before a process that died is replaced; twice as long each time it dies young."""
YOUNG = 10.0
"""Seconds of life before which a death counts as a crash at start."""


class Kept:
    """A child process, and the one that takes its place when it dies."""

    process: subprocess.Popen[bytes] | Forked

    def __init__(
        self,
        kind: str,
        command: Sequence[str],
        *,
        name: str = "",
        pass_fds: Sequence[int] = (),
        first: Callable[[], object] | None = None,
        **facts: object,
    ) -> None:
        """`kind`, such as "worker", and `name`, such as "2", are how the log calls it; `facts` go with its lines.
        `first` does what the command does: the first process runs it as a fork of this one, where that is safe."""
        self._kind, self._command, self._pass_fds, self._facts = kind, list(command), list(pass_fds), facts
        self._called = f"{kind.capitalize()} {name}".strip() if name else f"The {kind}"
        self._deaths = 0
        self._again_at: float | None = None
        self.ends = Ends()
        self._start(first if can_fork() else None)

    def _start(self, run: Callable[[], object] | None = None) -> None:
        # Its standard input is a pipe from here: it ends when this process does, however that happens.
        if run is not None:
            self.process = forked(run, pass_fds=self._pass_fds)
        else:
            self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, pass_fds=self._pass_fds)
        self._begun, self._again_at = time.monotonic(), None

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def replace_if_dead(self, log: Log) -> None:
        """At once, but for one that dies young again and again."""
        if (code := self.process.poll()) is None:
            return
        now = time.monotonic()
        if self._again_at is None:
            self.ends.note(code, now - self._begun)
            self._deaths = self._deaths + 1 if now - self._begun < YOUNG else 0
            pause = min(CRASH_PAUSE * 2 ** min(self._deaths, 10), LONGEST_PAUSE) if self._deaths else 0.0
            self._again_at = now + pause
            log(
                f"{self._kind}_died",
                f"{self._called} ended (exit code {code}); it is replaced.",
                level="error",
                **self._facts,
            )
        if now >= self._again_at:
            self.close_pipe()
            self._start()

    def close_pipe(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()


def tell_to_end(kept: Sequence[Kept]) -> None:
    """Sends SIGTERM to those that live."""
    for each in kept:
        if each.lives:
            each.process.terminate()


def end(kept: Sequence[Kept], *, within: float) -> None:
    """Waits for all of them to end, so many seconds together; then kills what is left."""
    until = time.monotonic() + within
    for each in kept:
        try:
            each.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()
        each.close_pipe()
