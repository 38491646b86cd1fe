"""Which ends of host processes are told of: real processes, that are no hosts."""

from __future__ import annotations

import subprocess
import sys

import pytest
from live import until

from mainstay.models.package import Manifest
from mainstay.serving.hosts import Hosts
from mainstay.serving.launch import Allowed

READY_AND_CRASHES = "import os; print('{}', flush=True); os.abort()"
ENDS_AT_ONCE = "raise SystemExit(1)"
NOTHING = Manifest(content={}, attestations={})


class Scripted(Hosts):
    """Starts what a list says, one after the other; the last again and again."""

    scripts: list[str]

    def _process(self, *given) -> subprocess.Popen[bytes]:
        code = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        process.wait()  # what it said is there to be read
        return process


@pytest.mark.parametrize(("first", "tells"), [(READY_AND_CRASHES, True), (ENDS_AT_ONCE, False)])
def test_a_host_that_was_ready_and_then_ends_at_each_start_tells_against_its_version(tmp_path, first, tells):
    """Only its first end was counted: a candidate that could not be started again was held for ever, never taken back.
    One that never was ready is a version that fails, and is told of as such."""
    died = []
    hosts = Scripted(
        tmp_path,
        tmp_path,
        allowed=lambda: Allowed(environments=tmp_path),
        human=False,
        timeout=1.0,
        log=lambda event, words, **more: died.append(event),
    )
    hosts.scripts = [first, ENDS_AT_ONCE]
    try:
        hosts.ensure("one:2", NOTHING)

        def thrice():
            hosts.look_after()
            return len(died) >= 3

        until(thrice)
        assert set(died) == {"host_died"}
        assert hosts.lost("one:2") == (len(died) if tells else 0)
        assert hosts.ensure("one:2", NOTHING)[0] == ("ready" if tells else "failed")
    finally:
        hosts.close()
