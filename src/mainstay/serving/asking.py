"""A version in a host process of one's own, for who loads it by hand: a notebook, an import, an evaluation, a trial.

The same launcher, the same host and the same frames as in a server; only the waiting is plain.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import weakref
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from mainstay.errors import MachineError, MainstayError
from mainstay.models.answers import Answers
from mainstay.models.classes import CLASS, ClassSpec, is_class, require_trusted
from mainstay.models.package import Package
from mainstay.models.signature import Cells, InputError
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving.frames import Ask, Told, framed
from mainstay.serving.host import LONGEST_ASKED, Said
from mainstay.serving.hosts import LONGEST_SOCKET, START_WITHIN
from mainstay.serving.launch import BUILD_WITHIN, OUR_PYTHON, Allowed, host_command, launch_command, variables_for
from mainstay.serving.usage import look

AT_ONCE = 1024
"""Rows of one frame."""
END_WITHIN = 5.0
"""Seconds in which a process that is told to end has to."""
GONE_WITHIN = 1.0
"""Seconds that a process which says no more may take to end, before its exit code is told without."""

_LENGTH = struct.Struct(">I")


class ClassFailed(MainstayError):
    """A class or another model could not be made, or gave no answer; says what it raised."""


class ClassEnded(MachineError):
    """The process ended, or does not answer."""


class OwnHost:
    """Answers rows, encoded and decided there, from a host process that lives as long as this object does, and no
    longer than this process."""

    def __init__(
        self,
        package: Package,
        allowed: Allowed,
        *,
        within: float = START_WITHIN + BUILD_WITHIN,
        answers_within: float = LONGEST_ASKED + 30.0,
    ) -> None:
        """Starts the process, and waits until it has answered its golden predictions.

        Args:
            within: seconds in which it has to be ready.
            answers_within: seconds that an answer may take.

        Raises:
            UntrustedCode: the operator does not trust the class; nothing was started.
            ClassFailed: it cannot be made, its environment cannot be built, or it does not answer as it did.
            ClassEnded: the process ended without a word.
            PackageCorrupt: a file is missing or was changed.
        """
        if is_class(package.manifest):
            require_trusted(package.manifest, allowed.code)
            self.name = package.document(CLASS, ClassSpec).checked().name
        else:
            self.name = f"the {package.spec.format} model"
        self._lock, self._asked = threading.Lock(), 0
        held = ExitStack()
        self._end = weakref.finalize(self, held.close)
        try:
            folder = _folder()
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            self._process = _started(package, allowed, folder)
            held.callback(_ended, self._process)
            self._hear_ready(within)
            self._socket = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            self._socket.settimeout(answers_within)
            self._socket.connect(str(folder / "host.sock"))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the process; it answers nothing more."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, cells: Cells, features: Any | None) -> Answers:
        """Answers of n rows.

        Raises:
            ClassFailed: the class raised, or did not keep to its contract.
            ClassEnded: its process crashed, or was closed.
            InputError: rows that the version does not take.
        """
        del features
        if len(cells) <= AT_ONCE:
            return self._answer(cells)
        parts = [self._answer(cells.rows(slice(at, at + AT_ONCE))) for at in range(0, len(cells), AT_ONCE)]
        return _joined(parts)

    def _answer(self, cells: Cells) -> Answers:
        with self._lock:
            self._asked += 1
            try:
                self._socket.sendall(framed(Ask.of(self._asked, cells)))
                told = msgspec.msgpack.decode(self._frame(), type=Told)
            except TimeoutError as error:
                raise self._gone("did not answer in time") from error
            except (OSError, EOFError) as error:
                raise self._gone("ended while it was answering") from error
        if told.error is None:
            return told.answers()
        raise InputError(told.error) if told.refused else ClassFailed(told.error)

    def _frame(self) -> bytes:
        (length,) = _LENGTH.unpack(self._received(_LENGTH.size))
        return self._received(length)

    def _received(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = self._socket.recv(min(length - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    @property
    def memory(self) -> int:
        """Bytes that the process holds in memory; 0 where the system does not tell."""
        seen = look(self._process.pid)
        return 0 if seen is None else seen.resident

    def _hear_ready(self, within: float) -> None:
        assert self._process.stdout is not None
        pipe, until, heard = self._process.stdout.fileno(), time.monotonic() + within, b""
        while b"\n" not in heard:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            part = os.read(pipe, 65536) if ready else b""
            if not part:
                raise self._gone("ended before it was ready" if ready else "was not ready in time")
            heard += part
        said = msgspec.json.decode(heard.partition(b"\n")[0], type=Said)
        if said.error is not None:
            raise ClassFailed(said.error)

    def _gone(self, what: str) -> ClassEnded:
        with suppress(subprocess.TimeoutExpired):  # its pipes are closed a moment before it has ended
            self._process.wait(GONE_WITHIN)
        code = self._process.returncode
        told = "" if code is None else f" (exit code {code})"
        return ClassEnded(f"The process of {self.name} {what}{told}: load the version again.")


def _folder() -> Path:
    """A folder for a process's files, whose path leaves room for a Unix socket's name."""
    fits = len(os.fsencode(tempfile.gettempdir())) < LONGEST_SOCKET - 40
    return Path(tempfile.mkdtemp(prefix="mainstay-", dir=None if fits else "/tmp"))  # noqa: S108 - mkdtemp is safe there


def _started(package: Package, allowed: Allowed, folder: Path) -> subprocess.Popen[bytes]:
    blobs, manifest = FolderBlobs(folder / "blobs"), folder / "manifest.json"
    for name in package.manifest.content:
        blobs.put(package.read(name))
    manifest.write_bytes(msgspec.json.encode(package.manifest))
    socket_, work = folder / "host.sock", folder / "work"
    if is_class(package.manifest):
        command = launch_command(allowed, socket=socket_, blobs=blobs.root, manifest=manifest, work=work, log="asker")
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    command = host_command(allowed, socket=socket_, blobs=blobs.root, manifest=manifest, log="asker")
    variables = variables_for(allowed, os.environ, *OUR_PYTHON)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables)


def _ended(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.terminate()
    try:
        process.wait(END_WITHIN)
    except subprocess.TimeoutExpired:  # it hangs in the class's code
        process.kill()
        process.wait()
    process.stdout.close()


def _joined(parts: list[Answers]) -> Answers:
    first = parts[0]
    if first.outputs is not None:
        names = first.outputs.keys()
        return Answers(outputs={name: np.concatenate([(p.outputs or {})[name] for p in parts]) for name in names})

    def joined(field: str) -> Any:
        arrays = [getattr(part, field) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return Answers(joined("values"), joined("labels"), joined("probabilities"))
