"""The host processes of a machine: started, watched, started again, ended."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from mainstay.models.package import Manifest
from mainstay.serving.host import Said
from mainstay.serving.logs import Log

State = Literal["starting", "ready", "failed"]
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a host that died is started again; each time twice as long."""
QUIET_AFTER = 60.0
"""Seconds of life after which a host's earlier deaths are forgotten."""


@dataclass
class _Host:
    """One version's host process."""

    version: str
    manifest: Path
    socket: Path
    process: subprocess.Popen[bytes]
    begun: float
    state: State = "starting"
    reason: str = ""
    deaths: int = 0
    again_at: float | None = None


class Hosts:
    """The hosts that an agent keeps, by version."""

    def __init__(self, blobs: Path, *, trusted: Sequence[str], log: Log) -> None:
        """`trusted` are the types that the operator lets native models hold."""
        # A Unix socket's path may be 108 bytes long, which a project's own folder can exceed.
        self._folder = Path(tempfile.mkdtemp(prefix="mainstay-"))
        self._blobs, self._trusted, self._log = blobs, tuple(trusted), log
        self._hosts: dict[str, _Host] = {}

    def ensure(self, version: str, manifest: Manifest) -> tuple[State, str]:
        """Starts a version's host where there is none; its state, and the socket or the reason of a failure."""
        host = self._hosts.get(version)
        if host is None:
            name = f"{len(self._hosts)}-{time.monotonic_ns()}"
            path = self._folder / f"{name}.json"
            path.write_bytes(msgspec.json.encode(manifest))
            socket = self._folder / f"{name}.sock"
            host = _Host(version, path, socket, self._process(path, socket), time.monotonic())
            self._hosts[version] = host
            self._listen(host)
        return host.state, str(host.socket) if host.state != "failed" else host.reason

    def keep(self, versions: set[str]) -> None:
        """Ends the hosts of all other versions."""
        for version in [version for version in self._hosts if version not in versions]:
            _end(self._hosts.pop(version))

    def look_after(self) -> None:
        """Starts again what died after it was ready; called every moment."""
        now = time.monotonic()
        for host in self._hosts.values():
            if host.state != "ready" or host.process.poll() is None:
                continue
            if host.again_at is None:
                host.deaths = 1 if now - host.begun > QUIET_AFTER else host.deaths + 1
                pause = min(FIRST_PAUSE * 2 ** (host.deaths - 1), LONGEST_PAUSE)
                host.again_at = now + pause
                self._log(
                    "host_died",
                    f"The host process of {host.version} ended (exit code {host.process.returncode}); "
                    f"it is started again in {pause:g} s.",
                    level="error",
                    version=host.version,
                )
            elif now >= host.again_at:
                host.process, host.begun, host.again_at = self._process(host.manifest, host.socket), now, None

    def close(self) -> None:
        """Ends all hosts."""
        self.keep(set())
        shutil.rmtree(self._folder, ignore_errors=True)

    def _process(self, manifest: Path, socket: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mainstay.serving.host", "--socket", str(socket)]
        command += ["--blobs", str(self._blobs), "--manifest", str(manifest)]
        for name in self._trusted:
            command += ["--trust", name]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _listen(self, host: _Host) -> None:
        """Takes the line that a new host says, in a thread, for it may load for long."""

        def listen() -> None:
            assert host.process.stdout is not None
            line = host.process.stdout.readline()
            if not line:
                host.state, host.reason = "failed", f"The host process of {host.version} ended before it was ready."
                return
            said = msgspec.json.decode(line, type=Said)
            if said.error is None:
                host.state = "ready"
            else:
                host.reason = said.error
                host.state = "failed"

        threading.Thread(target=listen, name=f"host {host.version}", daemon=True).start()


def _end(host: _Host) -> None:
    host.process.terminate()
    try:
        host.process.wait(10)
    except subprocess.TimeoutExpired:
        host.process.kill()
        host.process.wait()
    for pipe in (host.process.stdin, host.process.stdout):
        if pipe is not None:
            pipe.close()
