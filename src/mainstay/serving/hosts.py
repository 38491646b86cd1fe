"""The host processes of a machine: started, watched, started again, ended. Nothing here waits but `close`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from mainstay.models.package import Manifest
from mainstay.serving.host import LET_GO_WITHIN, Said
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
    manifest: Path
    socket: Path
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
    def state(self) -> State:
        # Once it was ready it stays in the routing table: what is down now is being started again.
        if self.was_ready:
            return "ready"
        return "failed" if self.reason else "starting"


class Hosts:
    """The hosts that an agent keeps, by version."""

    def __init__(self, run: Path, blobs: Path, *, trusted: Sequence[str], human: bool, log: Log) -> None:
        """`trusted` are the types that the operator lets native models hold; `human` is how the hosts log."""
        fits = len(os.fsencode(run)) < LONGEST_SOCKET - 30
        self._folder = run / "hosts" if fits else Path(tempfile.mkdtemp(prefix="mainstay-"))
        self._folder.mkdir(exist_ok=True)
        self._blobs, self._trusted, self._human, self._log = blobs, tuple(trusted), human, log
        self._hosts: dict[str, _Host] = {}
        self._made = 0
        self._ending: list[tuple[subprocess.Popen[bytes], float]] = []
        self.changes = 0
        """Grows whenever the state of a host changes."""

    def ensure(self, version: str, manifest: Manifest) -> tuple[State, str]:
        """Starts a version's host where there is none; its state, and the socket or the reason of a failure."""
        host = self._hosts.get(version)
        if host is None:
            self._made += 1
            path, socket = self._folder / f"{self._made}.json", self._folder / f"{self._made}.sock"
            path.write_bytes(msgspec.json.encode(manifest))
            host = _Host(version, path, socket, self._process(path, socket), time.monotonic())
            self._hosts[version] = host
        return host.state, host.reason if host.state == "failed" else str(host.socket)

    def keep(self, versions: Collection[str]) -> None:
        """Tells the hosts of all other versions to end, which they do when the workers have let go of them."""
        for version in [version for version in self._hosts if version not in versions]:
            self._dismiss(self._hosts.pop(version).process)

    def look_after(self) -> None:
        """Hears what hosts say, and starts again what died; called every moment."""
        now = time.monotonic()
        for host in self._hosts.values():
            before = host.state
            if host.again_at is not None:
                if now >= host.again_at:
                    _close_pipes(host.process)
                    host.process, host.begun = self._process(host.manifest, host.socket), now
                    host.heard, host.answers, host.again_at = b"", False, None
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
        shutil.rmtree(self._folder, ignore_errors=True)

    def _process(self, manifest: Path, socket: Path) -> subprocess.Popen[bytes]:
        # Warnings would stand between the lines of the log, and some quote the values that they warn of.
        command = [sys.executable, "-W", "ignore", "-m", "mainstay.serving.host", "--socket", str(socket)]
        command += ["--blobs", str(self._blobs), "--manifest", str(manifest)]
        command += ["--log", "human" if self._human else "json"]
        for name in self._trusted:
            command += ["--trust", name]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        return process

    def _listen(self, host: _Host, now: float) -> None:
        if host.answers:
            return
        assert host.process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            host.heard += os.read(host.process.stdout.fileno(), 65536)
        if now - host.begun > START_WITHIN:
            host.reason = f"The host process of {host.version} was not ready within {START_WITHIN:g} s."
            host.process.kill()
        line, whole, _ = host.heard.partition(b"\n")
        if whole:
            said = msgspec.json.decode(line, type=Said)
            host.answers, host.told = said.error is None, said.error is not None
            host.was_ready |= host.answers
            host.reason = said.error or ""

    def _mourn(self, host: _Host, now: float) -> None:
        """A host died: says so, and when it is started again."""
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

    def _dismiss(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.terminate()
        self._ending.append((process, time.monotonic() + LET_GO_WITHIN + 5.0))


def _ended(process: subprocess.Popen[bytes], at_latest: float, now: float) -> bool:
    if process.poll() is None:
        if now < at_latest:
            return False
        process.kill()
        process.wait()
    _close_pipes(process)
    return True


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
