"""The agent's side of the socket over which workers pass on what callers ask to have changed."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from mainstay.errors import CheckFailed, MachineError, MainstayError
from mainstay.registry.errors import ModelNotFound
from mainstay.serving.frames import framed
from mainstay.serving.logs import Log, place_of
from mainstay.serving.management import Manage, Outcome
from mainstay.serving.predictions.messages import Labels
from mainstay.serving.protocols.codec import Wish

NAME = "agent.sock"
AT_ONCE = 8
"""Wishes that are being brought about; more are refused at once rather than late."""
LONGEST = 1 << 20
"""Bytes of a wish, or of labels."""
SAID_WITHIN = 5.0
"""Seconds in which one who connects has to say what he wants."""
_LENGTH = struct.Struct(">I")
_DECODE = msgspec.msgpack.Decoder(Wish | Labels).decode

Label = Callable[[Labels], list[int]]


class Control:
    """Takes wishes on a Unix socket that this user alone can open, each in a thread of its own."""

    def __init__(self, path: Path, manage: Manage | None, *, label: Label, log: Log) -> None:
        """`manage` None: nothing can be changed; `label` joins labels, and says what became of each."""
        self.path, self._manage, self._label, self._log = path, manage, label, log
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._joining = threading.BoundedSemaphore(AT_ONCE)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        os.chmod(path, 0o600)  # noqa: PTH101 - before anybody can connect, as nobody listens yet
        self._socket.listen(AT_ONCE * 2)
        threading.Thread(target=self._listen, name="control", daemon=True).start()

    def close(self) -> None:
        """Takes no more wishes; what is under way ends with the process, and is in the registry whole or not at all."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the one who listens
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(connection,), name="wish", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.settimeout(SAID_WITHIN)
                wish = _DECODE(_frame(connection))
                outcome = self._joined(wish) if isinstance(wish, Labels) else self._outcome(wish)
                connection.sendall(framed(outcome))
            except (OSError, EOFError, msgspec.DecodeError):
                pass  # nobody is there any more, or it was no worker of ours

    def _joined(self, labels: Labels) -> Outcome:
        if not self._joining.acquire(timeout=SAID_WITHIN):
            return Outcome(503, "too many labels are being joined: send these again in a few seconds.")
        try:
            return Outcome(200, became=self._label(labels))
        except MainstayError as error:
            return Outcome(status_of(error), str(error))
        except OSError as error:
            return Outcome(503, f"The labels could not be kept ({error.strerror}): send them again.")
        except Exception as error:  # noqa: BLE001 - some labels must not end what takes the others
            self._log("fault", f"Joining labels failed with {place_of(error)}.", level="error", model=labels.model)
            return Outcome(500, "the server failed on it; its log says where.")
        finally:
            self._joining.release()

    def _outcome(self, wish: Wish) -> Outcome:
        if self._manage is None:
            return Outcome(503, "This server takes no changes over its port: run mainstay deploy VERSION.")
        if not self._free.acquire(blocking=False):
            return Outcome(503, f"{AT_ONCE} changes are under way already: try again in a few seconds.")
        try:
            self._manage(wish)
        except MainstayError as error:
            outcome = Outcome(status_of(error), str(error))
        except Exception as error:  # noqa: BLE001 - one wish must not end what takes the others
            self._log("fault", f"{wish.verb} failed with {place_of(error)}.", level="error", model=wish.model)
            outcome = Outcome(500, "the server failed on it; its log says where.")
        else:
            outcome = Outcome(200)
        finally:
            self._free.release()
        said = "done" if outcome.status == 200 else outcome.message
        self._log("managed", f"{wish.actor} asked to {wish.verb} {wish.model}: {said}", model=wish.model)
        return outcome


def status_of(error: MainstayError) -> int:
    """What HTTP calls the reason of a refusal."""
    match error:
        case ModelNotFound():
            return 404
        case MachineError():
            return 503
        case CheckFailed():
            return 409
    return 400


def _frame(connection: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_received(connection, _LENGTH.size))
    if length > LONGEST:
        raise EOFError
    return _received(connection, length)


def _received(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise EOFError
        data += part
    return data
