"""A load generator for gRPC on one core: unary calls over kept connections, as fast as the server answers.

    python benchmarks/grpc_load.py --port 8081 --connections 32 --seconds 5 < request.bin
    python benchmarks/grpc_load.py --port 8081 --model credit --numbers 30

The request is the message of one call, as bytes. It speaks HTTP/2 by itself, since a client on the reference
implementation asks no more than some thousand times a second; it works with any server. One JSON object is written.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import uvloop
from load import Rate

from mainstay.serving.grpc.messages import Messages
from mainstay.serving.http2 import frames
from mainstay.serving.http2.hpack import Decoder, literal

INFER = "/inference.GRPCInferenceService/ModelInfer"
WINDOW = 1 << 30


class Failed(Exception):
    """A call was not answered well."""


class Caller(asyncio.Protocol):
    """One connection, which asks again as soon as it is answered."""

    def __init__(self, path: str, message: bytes, *, streams: int) -> None:
        self._head = b"".join(
            literal(name, value)
            for name, value in (
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", "localhost"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            )
        )
        self._body = b"\0" + len(message).to_bytes(4, "big") + message
        self._streams, self._next = streams, 1
        self._decoder, self._buffer, self._blocks = Decoder(), b"", b""
        self._window, self._stream_window, self._taken = frames.FIRST_WINDOW, frames.FIRST_WINDOW, 0
        self._waiting = 0
        self._begun: dict[int, float] = {}
        self.seconds: list[float] = []
        self.answer = b""
        self.until = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self._transport = transport
        said = frames.settings(initial_window_size=WINDOW) + frames.window_update(0, WINDOW)
        transport.write(frames.PREFACE + said)

    def begin(self, until: float) -> None:
        self.until = until
        for _ in range(self._streams):
            self._ask()

    def _ask(self) -> None:
        size = len(self._body)
        if size > min(self._window, self._stream_window) or size > frames.LONGEST:
            if size > min(frames.LONGEST, self._stream_window):
                raise SystemExit(f"The message has {size} bytes; this generator sends one frame, of at most 16 kB.")
            self._waiting += 1
            return
        self._window -= size
        identity, self._next = self._next, self._next + 2
        self._begun[identity] = time.perf_counter()
        self._transport.write(
            frames.frame(frames.HEADERS, frames.END_HEADERS, identity, self._head)
            + frames.frame(frames.DATA, frames.END_STREAM, identity, self._body)
        )

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        at = 0
        while len(data) - at >= frames.HEAD:
            length = int.from_bytes(data[at : at + 3], "big")
            until = at + frames.HEAD + length
            if until > len(data):
                break
            identity = int.from_bytes(data[at + 5 : at + 9], "big")
            try:
                self._frame(data[at + 3], data[at + 4], identity, data[at + frames.HEAD : until])
            except Failed as error:
                self._end(error)
            at = until
        self._buffer = data[at:]

    def _frame(self, kind: int, flags: int, identity: int, payload: bytes) -> None:
        if kind == frames.DATA:
            self.answer = payload  # as long as it is one frame, which a row's is
            self._taken += len(payload)
            if self._taken > WINDOW // 2:
                self._transport.write(frames.window_update(0, self._taken))
                self._taken = 0
        elif kind in (frames.HEADERS, frames.CONTINUATION):
            self._blocks += payload
            if flags & frames.END_HEADERS:
                fields, self._blocks = self._decoder.read(self._blocks), b""
                if fields.get("grpc-status", "0") != "0" or fields.get(":status", "200") != "200":
                    raise Failed(f"The server did not answer every request: {fields}")
        elif not flags & frames.ACK:
            self._asked(kind, identity, payload)
        if kind in (frames.DATA, frames.HEADERS) and flags & frames.END_STREAM:
            self._answered(identity)

    def _asked(self, kind: int, identity: int, payload: bytes) -> None:
        """Does what the server wants of the connection."""
        if kind == frames.SETTINGS:
            for name, value in frames.read_settings(payload):
                if name == frames.INITIAL_WINDOW_SIZE:
                    self._stream_window = value
            self._transport.write(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif kind == frames.PING:
            self._transport.write(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.WINDOW_UPDATE and identity == 0:
            self._window += frames.number(payload)
            waiting, self._waiting = self._waiting, 0
            for _ in range(waiting):
                self._ask()
        elif kind in (frames.GOAWAY, frames.RST_STREAM):
            raise Failed(f"The server ended the connection or a call: {payload!r}")

    def _answered(self, identity: int) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._begun.pop(identity))
        if now < self.until:
            self._ask()
        elif not self._begun:
            self._end(None)

    def connection_lost(self, exc) -> None:
        self._end(Failed("The server closed a connection."))

    def _end(self, error: Exception | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


async def asked(port: int, path: str, message: bytes, *, connections: int, streams: int, seconds: float) -> dict:
    """Calls for so long; requests a second, and latencies in milliseconds."""
    loop = asyncio.get_running_loop()
    callers = [
        (await loop.create_connection(lambda: Caller(path, message, streams=streams), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    begun = time.perf_counter()
    for caller in callers:
        caller.begin(begun + seconds)
    await asyncio.gather(*(caller.ended for caller in callers))
    took = time.perf_counter() - begun
    latencies = sorted(1e3 * each for caller in callers for each in caller.seconds)
    ranked = [latencies[0]] * 99 if len(latencies) < 2 else statistics.quantiles(latencies, n=100, method="inclusive")
    return {
        "requests_per_second": len(latencies) / took,
        "p50_ms": ranked[49],
        "p99_ms": ranked[98],
        "answer": callers[0].answer[5:].hex(),
    }


def one_row(model: str, numbers: int) -> bytes:
    """A `ModelInferRequest` of one row of numbers, as raw bytes."""
    import numpy as np

    messages = Messages()
    request = messages["ModelInferRequest"](model_name=model)
    request.inputs.add(name="rows", datatype="FP64", shape=[1, numbers])
    request.raw_input_contents.append(np.linspace(0.0, 1.0, numbers).tobytes())
    return request.SerializeToString()


def message_of(model: str, document: Mapping[str, Any]) -> bytes:
    """A request of the protocol's REST side as a `ModelInferRequest`, with typed contents."""
    fields = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
    request = Messages()["ModelInferRequest"](model_name=model)
    for each in document["inputs"]:
        given = request.inputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        data = [value.encode() if isinstance(value, str) else value for value in each["data"]]
        getattr(given.contents, fields[each["datatype"]]).extend(data)
        _told(given.parameters, each.get("parameters"))
    _told(request.parameters, document.get("parameters"))
    for each in document.get("outputs", ()):
        request.outputs.add(name=each["name"])
    return request.SerializeToString()


def _told(parameters: Any, said: Mapping[str, str] | None) -> None:
    for name, value in (said or {}).items():
        parameters[name].string_param = value


def measure(port: int, message: bytes, *, connections: int, seconds: float, cores: str) -> Rate:
    """Asks over kept connections, in a process of its own, as fast as the server answers; `cores` as taskset has them.

    Raises:
        CalledProcessError: not every call was answered.
    """
    said = json.loads(_run(port, message, connections, seconds, cores))
    return Rate(said["requests_per_second"], said["p99_ms"] / 1e3)


def shares(port: int, message: bytes, output: str) -> list[float]:
    """The numbers of an output of one answer."""
    said = json.loads(_run(port, message, 1, 0.0, "1"))
    reply = Messages()["ModelInferResponse"].FromString(bytes.fromhex(said["answer"]))
    at = [each.name for each in reply.outputs].index(output)
    if reply.raw_output_contents:
        return list(memoryview(reply.raw_output_contents[at]).cast("d"))
    return list(reply.outputs[at].contents.fp64_contents)


def _run(port: int, message: bytes, connections: int, seconds: float, cores: str) -> bytes:
    command = ["taskset", "-c", cores, sys.executable, __file__, "--port", str(port)]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default=INFER)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--streams", type=int, default=1, help="calls at a time on each connection")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--model", help="ask this model for a row of numbers, rather than what standard input holds")
    parser.add_argument("--numbers", type=int, default=30)
    given = parser.parse_args()
    message = one_row(given.model, given.numbers) if given.model else sys.stdin.buffer.read()
    many = {"connections": given.connections, "streams": given.streams, "seconds": given.seconds}
    sys.stdout.write(json.dumps(uvloop.run(asked(given.port, given.path, message, **many))) + "\n")


if __name__ == "__main__":
    main()
