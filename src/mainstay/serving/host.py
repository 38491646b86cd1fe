"""A host process: answers for one version that does not run inside the workers.

Started by the agent as `python -m mainstay.serving.host`. It says on its standard output, in one line of JSON, that it
is ready or why it cannot be, and ends when its standard input does: a host never outlives its agent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.package import Manifest, Package
from mainstay.models.runtime import Model
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving.frames import Ask, Told, framed, next_frame


class Said(msgspec.Struct, frozen=True):
    """The one line that a host says: ready, or the reason why not."""

    error: str | None = None


async def serve(model: Model, socket: Path) -> None:
    """Answers on a Unix socket until the standard input ends or SIGTERM comes. One request at a time is computed."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    pool = ThreadPoolExecutor(1)
    talking: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talking.add(task)
        try:
            while True:
                ask = msgspec.msgpack.decode(await next_frame(reader), type=Ask)
                writer.write(framed(await loop.run_in_executor(pool, _told, model, ask)))
                await writer.drain()
        except (OSError, EOFError):
            pass  # the worker is gone, and nobody waits any more
        finally:
            talking.discard(task)
            writer.close()

    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(talk, socket)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches the whole group; the agent ends its hosts
    loop.add_reader(sys.stdin.fileno(), _read_input, loop, stop)
    _say(Said())
    await stop.wait()
    server.close()
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)
    pool.shutdown(wait=False, cancel_futures=True)
    socket.unlink(missing_ok=True)


def _read_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()


def main() -> None:
    """The command line of a host process."""
    parser = argparse.ArgumentParser(prog="python -m mainstay.serving.host")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--blobs", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True, help="the version's manifest, JSON")
    parser.add_argument("--trust", action="append", default=[], help="a type that the operator trusts")
    given = parser.parse_args()
    try:
        manifest = msgspec.json.decode(given.manifest.read_bytes(), type=Manifest)
        model = Model.load(Package(manifest, FolderBlobs(given.blobs).get), trusted=given.trust)
        model.check_golden()
    except MainstayError as error:
        _say(Said(str(error)))
        raise SystemExit(error.exit_code) from error
    asyncio.run(serve(model, given.socket))


def _told(model: Model, ask: Ask) -> Told:
    try:
        return Told.of(ask.id, model.answer(ask.cells()))
    except Exception as error:  # noqa: BLE001 - a native model may raise anything; the caller is told, the host lives on
        return Told(ask.id, error=f"The model failed with {type(error).__name__}: see the log of its host process.")


def _say(said: Said) -> None:
    with contextlib.suppress(BrokenPipeError):  # the agent is gone; the standard input says so too
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
