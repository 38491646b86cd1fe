"""The process that reads and writes Arrow and Parquet for a worker: `python -m mainstay.serving.columnar.process`.

Both are parsed in C++, and hostile files have crashed such parsers before. So what comes from outside is parsed here,
where a crash costs one request: in bounded memory, without files, sockets or secrets, and each value is checked before
it is used. It answers frames on its standard output, one after the other, until its standard input ends.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import struct
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from mainstay.serving.columnar.messages import CALLED, KINDS, Done, Read, Write
from mainstay.serving.columnar.parsing import Refused, read, written
from mainstay.serving.frames import Block, framed

MEMORY = 1 << 30
"""Bytes that it may take beyond what its libraries need."""
MOST_ANSWERED = 200_000_000
"""Bytes of an answer: what is beyond was packed to fill the worker's memory."""
LONGEST = 30
"""Seconds after which it is ended by the system, whatever it does: nobody waits any more."""
_LENGTH = struct.Struct(">I")


def done(asked: Read | Write) -> Done:
    """What becomes of a request, whatever is wrong with it."""
    what = CALLED[asked.kind]
    try:
        if isinstance(asked, Write):
            return Done(data=written(asked))
        return Done(columns=read(asked))
    except Refused as error:
        return Done(error=str(error), column=error.column, large=error.large)
    except MemoryError:  # pyarrow's own is one too
        sentence = f"The body needs more memory than {what} may: send fewer rows at a time."
        return Done(error=sentence, large=True, ends=True)
    except Exception as error:  # noqa: BLE001 - whatever a parser makes of what somebody sent is his to know
        said = str(error).partition("\n")[0][:200].rstrip(".") or type(error).__name__
        return Done(error=f"The body is not {what} that can be read: {said}.")


def warmed() -> None:
    """Reads and writes each kind once, so that nothing is left to be opened later."""
    columns = {"a": Block.of(np.array([1.0, np.nan])), "b": Block.of(np.array(["x", "y"], dtype=object))}
    for kind in KINDS:
        said = done(Read(kind, written(Write(kind, columns, {"model": "none"})), ()))
        if said.error is not None:
            raise RuntimeError(said.error)


def confined(memory: int) -> None:
    """Takes from this process what it does not need: files, sockets, core dumps, and memory beyond `memory` bytes."""
    opened = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    data = int(status["VmData"].split()[0]) * 1024
    for what, bound in (
        (resource.RLIMIT_CORE, 0),  # memory holds what people have sent
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, opened),
        (resource.RLIMIT_DATA, data + memory),
    ):
        resource.setrlimit(what, (bound, bound))


def serve(given: int, said: int) -> None:
    """Answers frames until there are no more; `given` and `said` are file descriptors."""

    def received(length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            part = os.read(given, min(length - len(data), 1 << 20))
            if not part:
                raise SystemExit(0)
            data += part
        return bytes(data)

    def say(frame: bytes) -> None:
        rest = memoryview(frame)
        while rest:
            rest = rest[os.write(said, rest) :]

    say(framed(Done()))  # it is ready
    decode = msgspec.msgpack.Decoder(Read | Write).decode
    while True:
        (length,) = _LENGTH.unpack(received(_LENGTH.size))
        signal.alarm(LONGEST)  # its default action ends a process that hangs in C too
        try:
            answer = done(decode(received(length)))
            frame = framed(answer)
            if len(frame) > MOST_ANSWERED:
                answer = Done(error=f"The body holds more than {MOST_ANSWERED} bytes: send fewer rows.", large=True)
                frame = framed(answer)
        except MemoryError:
            answer = Done(error="The body needs more memory than it may: send fewer rows.", large=True, ends=True)
            frame = framed(answer)
        say(frame)
        signal.alarm(0)
        if answer.ends:
            return


def main() -> None:
    """Runs until the standard input ends. What libraries print goes nowhere: it may hold what somebody sent."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they reach the whole group; the worker decides
    said, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    warmed()
    confined(MEMORY)
    with contextlib.suppress(BrokenPipeError):  # the worker is gone
        serve(0, said)


if __name__ == "__main__":
    main()
