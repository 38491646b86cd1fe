"""Any bytes as a gRPC message, or as what comes on a connection of HTTP/2: answered or refused in words, never a fault.

A case is a byte that says which of the two it is, a byte that chooses the method or where what comes is cut, and the
message, or the octets after the connection's first.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from typing import Any

import asking

from mainstay.serving.grpc.dialect import Grpc
from mainstay.serving.grpc.messages import HEALTH, INFERENCE, REFLECTIONS, Messages
from mainstay.serving.grpc.port import Port
from mainstay.serving.grpc.service import Service
from mainstay.serving.http2 import frames
from mainstay.serving.http2.frames import frame
from mainstay.serving.http2.hpack import Decoder, literal
from mainstay.serving.protocols.codec import Reply

INFER = f"/{INFERENCE}/ModelInfer"
INTERNAL = "13"
"""The status of a fault: https://grpc.github.io/grpc/core/md_doc_statuscodes.html"""
MESSAGE, WIRE = 0, 1
"""The first byte of a case, seen modulo two."""


class _Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = bytearray(), False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Nothing comes by itself."""


class Caller:
    """Calls the gRPC side of a server that runs in this process."""

    def __init__(self) -> None:
        self.messages = Messages()
        dialect = Grpc(self.messages)
        self.server = asking.Server(dialect)
        self._service = Service(self.server._app, dialect)
        self._port = Port(self._service, max_body=asking.MAX_BODY)
        self.methods = sorted(self._service._methods)
        self._loop = self.server._loop
        self._met: list[str] = []
        self._loop.set_exception_handler(lambda _, context: self._met.append(str(context)))

    def close(self) -> None:
        """Lets go of what it took."""
        self.server.close()

    def ask(self, case: bytes) -> list[dict[str, str]]:
        """The headers and trailers that a case was answered with, block by block.

        Raises:
            Failed: it met a fault, or something was written that is none of the protocol.
        """
        case = case.ljust(2, b"\0")
        asked = self._message if case[0] % 2 == MESSAGE else self._wire
        said = self._loop.run_until_complete(asked(case[1], case[2:]))
        if self._met or self.server.faults:
            raise asking.Failed(f"{self._met} {self.server.faults}")
        for block in said:
            if block.get("grpc-status") == INTERNAL or block.get(":status", "200") >= "500":
                raise asking.Failed(f"a fault: {block}")
        return said

    async def _message(self, chosen: int, message: bytes) -> list[dict[str, str]]:
        path = self.methods[chosen % len(self.methods)]
        reply = await self._service._methods[path].answer(message, {":path": path}, None)
        return [self._checked(path, reply)]

    def _checked(self, path: str, reply: Reply) -> dict[str, str]:
        for name, value in reply.headers:
            if not (name + value).isascii() or not (name + value).isprintable():
                raise asking.Failed(f"metadata that is none: {name!r}: {value!r}")
        said = dict(reply.headers)
        if reply.status == 200:
            if path == INFER:
                self.messages["ModelInferResponse"].FromString(reply.body)
            said["grpc-status"] = "0"
        elif not said.get("grpc-message"):
            raise asking.Failed(f"a refusal without a word: {path} {reply}")
        return said

    async def _wire(self, cut: int, sent: bytes) -> list[dict[str, str]]:
        connection, transport = self._port.protocol(), _Transport()
        connection.connection_made(transport)
        whole = frames.PREFACE + sent
        step = cut or len(whole)
        for at in range(0, len(whole), step):
            if not transport.closed:
                connection.data_received(whole[at : at + step])
        own = asyncio.current_task()
        while waiting := asyncio.all_tasks() - {own}:
            await asyncio.wait(waiting)
        await asyncio.sleep(0)  # what was answered last is written in the next turn
        if connection.held < 0:
            raise asking.Failed(f"{connection.held} octets are held")
        connection.connection_lost(None)
        return list(blocks(bytes(transport.written)))


def blocks(written: bytes) -> Iterator[dict[str, str]]:
    """The header blocks among frames that a server wrote.

    Raises:
        Failed: they are no frames.
    """
    decoder, at = Decoder(), 0
    while at < len(written):
        length = int.from_bytes(written[at : at + 3], "big")
        kind, flags = written[at + 3], written[at + 4]
        payload = written[at + frames.HEAD : at + frames.HEAD + length]
        at += frames.HEAD + length
        if length > frames.LONGEST or at > len(written):
            raise asking.Failed(f"no frame: type {kind}, {length} octets of {len(payload)}")
        if kind == frames.HEADERS:
            if not flags & frames.END_HEADERS:
                raise asking.Failed("a header block in parts, which is never written")
            yield dict(decoder.read(payload))


def seeds(caller: Caller) -> Iterator[bytes]:
    """Calls that are right, for changes to begin with."""
    for message in _requests(caller.messages):
        data = message.SerializeToString()
        for path in (INFER, f"/{INFERENCE}/ModelStreamInfer"):
            yield _case(caller, path, data)
        yield bytes([WIRE, 0]) + frames.settings(initial_window_size=1000) + _call(1, INFER, data)
        yield bytes([WIRE, 7]) + _call(1, INFER, data) + frames.window_update(0, 9) + _call(3, INFER, data)
    for path in (path for path in caller.methods if not path.endswith("Infer")):
        kind = {"Check": f"{HEALTH.rpartition('.')[0]}.HealthCheckRequest"}.get(path.rpartition("/")[2])
        named = _named(caller.messages, path, kind)
        yield _case(caller, path, named)
        yield bytes([WIRE, 0]) + _call(1, path, named) + frame(frames.PING, 0, 0, bytes(8)) + frames.reset(1, 8)


def _named(messages: Messages, path: str, kind: str | None) -> bytes:
    """A message of a method, that names a model where it can."""
    if path.rpartition("/")[0][1:] in REFLECTIONS:
        made = messages[f"{path[1:].partition('/')[0].rpartition('.')[0]}.ServerReflectionRequest"](list_services="")
    else:
        call = path.rpartition("/")[2].replace("StreamInfer", "Infer")
        made = messages[kind or f"{call}Request"]()
    for field in ("name", "model_name", "service"):
        if field in made.DESCRIPTOR.fields_by_name:
            setattr(made, field, "double")
    return bytes(made.SerializeToString())


def _requests(messages: Messages) -> Iterator[Any]:
    """Right requests for inference, of numbers and texts, typed and raw."""
    for raw in (False, True):
        made = messages["ModelInferRequest"](model_name="double", id="mine")
        given = made.inputs.add(name="x", datatype="FP64", shape=[2])
        if raw:
            made.raw_input_contents.append(struct.pack("<2d", 1.5, 2.5))
        else:
            given.contents.fp64_contents.extend([1.5, 2.5])
        yield made
        made = messages["ModelInferRequest"](model_name="sums", model_version="1")
        made.parameters["timeout"].int64_param = 10_000_000
        made.outputs.add(name="sum")
        for name, kind, shape, pack in (
            ("alone", "FP32", [2], "<2f"),
            ("three", "FP64", [2, 3], "<6d"),
            ("whole", "INT64", [2, 2], "<4q"),
        ):
            given = made.inputs.add(name=name, datatype=kind, shape=shape)
            values = range(int(pack[1]))
            if raw:
                made.raw_input_contents.append(struct.pack(pack, *values))
            else:
                field = {"FP32": "fp32_contents", "FP64": "fp64_contents", "INT64": "int64_contents"}[kind]
                getattr(given.contents, field).extend(values)
        yield made
        made = messages["ModelInferRequest"](model_name="loan")
        for name, value in asking.ROW.items():
            kind, field, cell, packed = _cell(value)
            given = made.inputs.add(name=name, datatype=kind, shape=[1, 1])
            if raw:
                made.raw_input_contents.append(packed)
            else:
                getattr(given.contents, field).append(cell)
        yield made


def _cell(value: Any) -> tuple[str, str, Any, bytes]:
    """How a value is written: its datatype, its field, its cell there, and raw."""
    if isinstance(value, bool):
        return "BOOL", "bool_contents", value, bytes([value])
    if isinstance(value, str):
        return "BYTES", "bytes_contents", value.encode(), struct.pack("<I", len(value.encode())) + value.encode()
    return "FP64", "fp64_contents", float(value), struct.pack("<d", value)


def _case(caller: Caller, path: str, message: bytes) -> bytes:
    return bytes([MESSAGE, caller.methods.index(path)]) + message


def _call(stream: int, path: str, message: bytes) -> bytes:
    fields = {":method": "POST", ":scheme": "http", ":path": path, "te": "trailers", "content-type": "application/grpc"}
    block = b"".join(literal(name, value) for name, value in fields.items())
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return frame(frames.HEADERS, frames.END_HEADERS, stream, block) + frame(
        frames.DATA, frames.END_STREAM, stream, body
    )
