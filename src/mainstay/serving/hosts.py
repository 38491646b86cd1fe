"""The host processes of a machine: started, watched, started again, ended. Nothing here waits but `close`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.classes import is_class, require_trusted
from mainstay.models.package import Manifest
from mainstay.serving.ends import Ends
from mainstay.serving.host import Said, let_go_within
from mainstay.serving.launch import BUILD_WITHIN, OUR_PYTHON, Allowed, host_command, launch_command, variables_for
from mainstay.serving.logs import Log

State = Literal["starting", "ready", "failed"]
START_WITHIN = 120.0
"""Seconds in which a host has to be ready."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a host that died is started again; each time twice as long."""
TOLD_PAUSE = 300.0
"""The same, of a host that said why it cannot run: that seldom mends itself."""
QUIET_AFTER = 60.0
"""Seconds of life after which a host's earlier deaths are forgotten."""
LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path that every system takes."""


@dataclass
class _Host:
    """One version's host process: the present one, or the last."""

    version: str
    manifest: Manifest
    path: Path
    """What all its files begin with: the list of its files, its socket, and the folder of its own."""
    process: subprocess.Popen[bytes]
    begun: float
    heard: bytes = b""
    """What the present process has said."""
    answers: bool = False
    """Whether the present process said that it is ready."""
    was_ready: bool = False
    """Whether any process of this host was."""
    reason: str = ""
    """Why the last one did not get ready; empty while none has failed."""
    told: bool = False
    """Whether the reason is the host's own word."""
    deaths: int = 0
    again_at: float | None = None

    @property
    def socket(self) -> Path:
        return self.path.with_suffix(".sock")

    @property
    def work(self) -> Path:
        return self.path.with_suffix(".work")

    @property
    def within(self) -> float:
        """Seconds in which it has to be ready: for a class, its environment may have to be built first."""
        return START_WITHIN + BUILD_WITHIN * is_class(self.manifest)

    @property
    def state(self) -> State:
        # Once it was ready it stays in the routing table: what is down now is being started again.
        if self.was_ready:
            return "ready"
        return "failed" if self.reason else "starting"


class Hosts:
    """The hosts that an agent keeps, by version."""

    def __init__(
        self, run: Path, blobs: Path, *, allowed: Callable[[], Allowed], human: bool, timeout: float, log: Log
    ) -> None:
        """`allowed` is what the operator allows at the time of a start; `human` is how the hosts log; `timeout` is how
        many seconds a request may take."""
        fits = len(os.fsencode(run)) < LONGEST_SOCKET - 30
        self.folder = run / "hosts" if fits else Path(tempfile.mkdtemp(prefix="mainstay-"))
        """Of Unix sockets: its path leaves room for their names. Gone at `close`."""
        self.folder.mkdir(exist_ok=True)
        self._blobs, self._allowed, self._human, self._timeout, self._log = blobs, allowed, human, timeout, log
        self._hosts: dict[str, _Host] = {}
        self._made = 0
        self._ending: list[tuple[_Host, float]] = []
        self._ends: dict[str, Ends] = {}
        self.changes = 0
        """Grows whenever the state of a host changes."""

    def ensure(self, version: str, manifest: Manifest) -> tuple[State, str]:
        """Starts a version's host where there is none; its state, and the socket or the reason of a failure.

        Raises:
            UntrustedCode: it is a class that the operator does not trust: nothing was started.
            BadOperatorFile: it cannot be told whether he does.
        """
        host = self._hosts.get(version)
        if host is None:
            self._made += 1
            path = self.folder / f"{self._made}.json"
            path.write_bytes(msgspec.json.encode(manifest))
            host = _Host(version, manifest, path, self._process(version, manifest, path), time.monotonic())
            self._hosts[version] = host
        return host.state, host.reason if host.state == "failed" else str(host.socket)

    def pids(self) -> dict[str, int]:
        """The process of each version, dead or alive; may be asked from another thread."""
        return {host.version: host.process.pid for host in list(self._hosts.values())}

    def lost(self, version: str) -> int:
        """How often a host of a version has ended, once one had been ready, so that it tells against the version."""
        return self._ends[version].telling if version in self._ends else 0

    def keep(self, versions: Collection[str]) -> None:
        """Tells the hosts of all other versions to end, which they do when the workers have let go of them."""
        for version in [version for version in self._hosts if version not in versions]:
            self._dismiss(self._hosts.pop(version))

    def look_after(self) -> None:
        """Hears what hosts say, and starts again what died; called every moment."""
        now = time.monotonic()
        for host in self._hosts.values():
            before = host.state
            if host.again_at is not None:
                if now >= host.again_at:
                    self._start_again(host, now)
            else:
                self._listen(host, now)
                if host.process.poll() is not None:
                    self._mourn(host, now)
            self.changes += host.state != before
        self._ending = [each for each in self._ending if not _ended(*each, now)]

    def close(self) -> None:
        """Ends all hosts; whoever uses them has let go of them, or is cut off."""
        self.keep(())
        while self._ending:
            now = time.monotonic()
            self._ending = [each for each in self._ending if not _ended(*each, now)]
            time.sleep(0.01)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _process(self, version: str, manifest: Manifest, path: Path) -> subprocess.Popen[bytes]:
        """A host process, or the launcher that becomes one. Raises as `ensure`."""
        allowed, log = self._allowed(), "human" if self._human else "json"
        socket, work = path.with_suffix(".sock"), path.with_suffix(".work")
        if is_class(manifest):
            require_trusted(manifest, allowed.code, version)
            command = launch_command(
                allowed,
                socket=socket,
                blobs=self._blobs,
                manifest=path,
                work=work,
                log=log,
                timeout=self._timeout,
            )
            variables = None  # the launcher has what the package index may need, and the host that it becomes has not
        else:
            command = host_command(
                allowed, socket=socket, blobs=self._blobs, manifest=path, log=log, timeout=self._timeout
            )
            variables = variables_for(allowed, os.environ, *OUR_PYTHON)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        return process

    def _start_again(self, host: _Host, now: float) -> None:
        try:
            process = self._process(host.version, host.manifest, host.path)
        except MainstayError as error:  # the operator trusts it no longer, or cannot be understood
            host.reason, host.again_at = str(error), now + TOLD_PAUSE
            return
        _close_pipes(host.process)
        host.process, host.begun = process, now
        host.heard, host.answers, host.again_at = b"", False, None

    def _listen(self, host: _Host, now: float) -> None:
        if host.answers:
            return
        assert host.process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            host.heard += os.read(host.process.stdout.fileno(), 65536)
        if now - host.begun > host.within:
            host.reason = f"The host process of {host.version} was not ready within {host.within:g} s."
            host.process.kill()
        line, whole, _ = host.heard.partition(b"\n")
        if whole:
            said = msgspec.json.decode(line, type=Said)
            host.answers, host.told = said.error is None, said.error is not None
            host.was_ready |= host.answers
            host.reason = said.error or ""

    def _mourn(self, host: _Host, now: float) -> None:
        """A host died: says so, and when it is started again."""
        if host.was_ready:  # also of one that ends at each start since: nothing else would tell of it
            self._ends.setdefault(host.version, Ends()).note(host.process.returncode, now - host.begun)
        host.deaths = 1 if now - host.begun > QUIET_AFTER else host.deaths + 1
        if not host.answers and not host.reason:
            host.reason = f"The host process of {host.version} ended before it was ready."
        pause = TOLD_PAUSE if host.told else min(FIRST_PAUSE * 2 ** min(host.deaths - 1, 10), LONGEST_PAUSE)
        host.again_at = now + pause
        self._log(
            "host_died",
            f"The host process of {host.version} ended (exit code {host.process.returncode}); "
            f"it is started again in {pause:g} s.{f' {host.reason}' if host.reason else ''}",
            level="error",
            version=host.version,
        )

    def _dismiss(self, host: _Host) -> None:
        if host.process.poll() is None:
            host.process.terminate()
        self._ending.append((host, time.monotonic() + let_go_within(self._timeout) + 5.0))


def _ended(host: _Host, at_latest: float, now: float) -> bool:
    if host.process.poll() is None:
        if now < at_latest:
            return False
        host.process.kill()
        host.process.wait()
    _close_pipes(host.process)
    shutil.rmtree(host.work, ignore_errors=True)
    return True


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
