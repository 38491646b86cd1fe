"""A host process: answers for one version that does not run inside the workers.

Started by the agent as `python -m mainstay.serving.host`. It says on its standard output, in one line of JSON, that it
is ready or why it cannot be. At SIGTERM, and when its standard input ends, it goes on until the workers have let go of
it: a host outlives neither its agent nor a request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.package import Manifest, Package
from mainstay.models.runtime import Model
from mainstay.models.signature import InputError
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving.frames import Ask, Told, framed, next_frame
from mainstay.serving.logs import Log, logger, place_of, take_over

LET_GO_WITHIN = 35.0
"""Seconds that workers have to let go of a host that is told to end: longer than they wait for an answer."""


class Said(msgspec.Struct, frozen=True):
    """The one line that a host says: ready, or the reason why not."""

    error: str | None = None


async def serve(model: Model, socket: Path, ready: Callable[[], None], log: Log) -> None:
    """Answers on a Unix socket until it is told to end and nobody is connected. One request at a time is computed."""
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
                writer.write(framed(await loop.run_in_executor(pool, _told, model, ask, log)))
                await writer.drain()
        except (OSError, EOFError):
            pass  # the worker is gone, and nobody waits any more
        finally:
            talking.discard(task)
            writer.close()

    socket.unlink(missing_ok=True)
    await asyncio.start_unix_server(talk, socket)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), _read_input, loop, stop)
    ready()
    await stop.wait()
    until = loop.time() + LET_GO_WITHIN
    while talking and loop.time() < until:
        await asyncio.sleep(0.02)
    socket.unlink(missing_ok=True)
    if talking:
        # The model hangs in its thread, which nothing but the end of the process can stop.
        log("host_cut_off", "The host process ends in the middle of a request.", level="error")
        os._exit(1)


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
    parser.add_argument("--log", choices=("json", "human"), required=True)
    given = parser.parse_args()
    log = logger(human=given.log == "human")
    take_over(log)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the agent ends its hosts
    say = _private_output()
    try:
        manifest = msgspec.json.decode(given.manifest.read_bytes(), type=Manifest)
        model = Model.load(Package(manifest, FolderBlobs(given.blobs).get), trusted=given.trust)
        model.check_golden()
    except MainstayError as error:
        say(Said(str(error)))
        raise SystemExit(error.exit_code) from error
    except Exception as error:  # whatever a native model's own parts raise
        say(Said(f"The model could not be loaded: {place_of(error)} raised {str(error)[:300]!r}."))
        raise
    asyncio.run(serve(model, given.socket, lambda: say(Said()), log))


def _private_output() -> Callable[[Said], None]:
    """Keeps the standard output for what a host has to say: some libraries print what they like there."""
    mine, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)

    def say(said: Said) -> None:
        with contextlib.suppress(BrokenPipeError):  # the agent is gone; the standard input says so too
            os.write(mine, msgspec.json.encode(said) + b"\n")

    return say


def _told(model: Model, ask: Ask, log: Log) -> Told:
    try:
        return Told.of(ask.id, model.answer(ask.cells()))
    except InputError as error:
        return Told(ask.id, error=str(error), refused=True)
    except Exception as error:  # noqa: BLE001 - a native model may raise anything; the caller is told, the host lives on
        log("model_failed", f"The model failed with {place_of(error)}.", level="error")
        return Told(ask.id, error=f"The model failed with {type(error).__name__}; the server's log says where.")


if __name__ == "__main__":
    main()
