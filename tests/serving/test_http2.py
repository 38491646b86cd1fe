"""HTTP/2 as hostile and as unusual callers speak it, frame by frame, against the gRPC port of a live server."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import time
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live import serving
from subjects import double, project_of_double

from examples import examples
from mainstay.serving.grpc.calls import timeout
from mainstay.serving.grpc.messages import INFERENCE, Messages
from mainstay.serving.http2 import frames
from mainstay.serving.http2.connection import Connection
from mainstay.serving.http2.frames import Broken, frame
from mainstay.serving.http2.hpack import LONGEST, Decoder, literal
from mainstay.serving.http2.huffman import decoded
from mainstay.serving.protocols.codec import Problem

PATH = f"/{INFERENCE}/ModelInfer"
MESSAGES = Messages()
FIELDS = {":method": "POST", ":scheme": "http", ":path": PATH, "te": "trailers", "content-type": "application/grpc"}


def block(**changed: str | None) -> bytes:
    names = {name.replace("_", "-") if name[0] != "_" else f":{name[1:]}": value for name, value in changed.items()}
    return b"".join(literal(name, value) for name, value in {**FIELDS, **names}.items() if value is not None)


def message(value: float = 3.0) -> bytes:
    request = MESSAGES["ModelInferRequest"](model_name="double")
    request.inputs.add(name="x", datatype="FP64", shape=[1])
    request.raw_input_contents.append(struct.pack("<d", value))
    data = request.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


def headers(stream: int, *, end: bool = False, **changed: str | None) -> bytes:
    return frame(frames.HEADERS, frames.END_HEADERS | (frames.END_STREAM if end else 0), stream, block(**changed))


def data(stream: int, payload: bytes, *, end: bool = True) -> bytes:
    return frame(frames.DATA, frames.END_STREAM if end else 0, stream, payload)


def call(stream: int, value: float = 3.0) -> bytes:
    return headers(stream) + data(stream, message(value))


class Peer:
    """One connection, and what came in on it."""

    def __init__(self, made: socket.socket) -> None:
        self.socket, self._buffer = made, b""
        self.decoder = Decoder()

    def send(self, *parts: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the test reads of it
            self.socket.sendall(b"".join(parts))

    def frames(self, until) -> list[tuple[int, int, int, bytes]]:
        """Frames as they come, up to the first that `until` holds of, or to the end of the connection."""
        found = []
        while True:
            while len(self._buffer) >= 9 and len(self._buffer) >= 9 + int.from_bytes(self._buffer[:3], "big"):
                size = int.from_bytes(self._buffer[:3], "big")
                kind, flags, stream = struct.unpack(">BBL", self._buffer[3:9])
                found.append((kind, flags, stream, self._buffer[9 : 9 + size]))
                self._buffer = self._buffer[9 + size :]
                if until(found[-1]):
                    return found
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return found
            self._buffer += more

    def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """The fields and the body of a call's answer."""
        fields, body = {}, b""
        for kind, flags, of, payload in self.frames(
            lambda each: each[2] == stream and (each[0] == 3 or (each[0] in (0, 1) and each[1] & 1))
        ):
            if kind == frames.HEADERS:
                assert flags & frames.END_HEADERS
                fields |= self.decoder.read(payload) if of == stream else {}
            elif kind == frames.DATA and of == stream:
                body += payload
        return fields, body

    def farewell(self) -> int:
        """The code with which the server ends the connection."""
        found = self.frames(lambda each: False)
        codes = [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in found if kind == frames.GOAWAY]
        return codes[-1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("http2"), ("double", double()), options=("--grpc-port", "0")) as running:
        yield running


@contextmanager
def connected(server, *, greeting: bytes = frames.PREFACE + frames.settings()):
    host, _, port = server.grpc.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as made:
        peer = Peer(made)
        peer.send(greeting)
        yield peer


def answered(fields_and_body) -> float:
    fields, body = fields_and_body
    assert fields["grpc-status"] == "0", fields
    reply = MESSAGES["ModelInferResponse"].FromString(body[5:])
    return struct.unpack("<d", reply.raw_output_contents[0])[0]


def goes_on(server) -> None:
    with connected(server) as peer:
        peer.send(call(1, 4.0))
        assert answered(peer.answer(1)) == 8.0


def test_frames_may_be_cut_anywhere(server):
    with connected(server, greeting=b"") as peer:
        for octet in frames.PREFACE + frames.settings() + call(1) + call(3, 5.0):
            peer.send(bytes((octet,)))
        assert (answered(peer.answer(1)), answered(peer.answer(3))) == (6.0, 10.0)


def test_padding_priorities_continuations_and_trailers_are_understood(server):
    fields, body = block(), message()
    with connected(server) as peer:
        padded = bytes((3, 0, 0, 0, 0, 7)) + fields[:9] + bytes(3)
        peer.send(
            frame(frames.HEADERS, frames.PADDED | frames.WITH_PRIORITY, 1, padded),
            frame(frames.CONTINUATION, 0, 1, fields[9:20]),
            frame(frames.CONTINUATION, frames.END_HEADERS, 1, fields[20:]),
            frame(frames.DATA, frames.PADDED, 1, b"\x02" + body[:7] + bytes(2)),
            frame(0x42, 0xFF, 1, b"unknown to all"),
            frame(frames.PRIORITY, 0, 1, bytes(5)),
            frame(frames.DATA, 0, 1, body[7:]),
            frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, literal("x-late", "yes")),
        )
        assert answered(peer.answer(1)) == 6.0


def test_answers_wait_for_the_windows_to_open(server):
    with connected(server, greeting=frames.PREFACE + frames.settings(initial_window_size=5)) as peer:
        peer.send(call(1))
        found = peer.frames(lambda each: each[0] == frames.DATA)
        assert found[-1][3] == b"\0" + found[-1][3][1:] and len(found[-1][3]) == 5
        peer.send(frame(frames.PING, 0, 0, b"8 octets"))
        assert peer.frames(lambda each: each[0] == frames.PING)[-1][3] == b"8 octets"
        peer.send(frames.settings(initial_window_size=12))  # wider for what is open, too
        assert len(peer.frames(lambda each: each[0] == frames.DATA)[-1][3]) == 7
        peer.send(frames.window_update(1, 60_000))
        kinds = [kind for kind, *_ in peer.frames(lambda each: each[0] == frames.HEADERS)]
        assert kinds == [frames.SETTINGS, frames.DATA, frames.HEADERS]


def test_a_ping_is_echoed_and_settings_are_acknowledged(server):
    with connected(server) as peer:
        peer.send(frame(frames.PING, 0, 0, b"12345678"))
        found = peer.frames(lambda each: each[0] == frames.PING)
        assert (frames.SETTINGS, frames.ACK, 0, b"") in found
        assert found[-1] == (frames.PING, frames.ACK, 0, b"12345678")


BROKEN = {
    "http/1": (b"POST / HTTP/1.1\r\nhost: a\r\n\r\n", frames.PROTOCOL_ERROR),
    "a frame too long": ((1 << 20).to_bytes(3, "big") + bytes(6), frames.FRAME_SIZE_ERROR),
    "data before its stream": (data(1, b"x"), frames.PROTOCOL_ERROR),
    "data on the connection": (data(0, b"x"), frames.PROTOCOL_ERROR),
    "an even stream": (headers(2), frames.PROTOCOL_ERROR),
    "a stream of the past": (headers(5, end=True) + headers(3), frames.PROTOCOL_ERROR),
    "headers twice": (headers(1) + headers(1), frames.PROTOCOL_ERROR),
    "an interrupted header block": (
        frame(frames.HEADERS, 0, 1, block()) + frame(frames.PING, 0, 0, bytes(8)),
        frames.PROTOCOL_ERROR,
    ),
    "a continuation of nothing": (frame(frames.CONTINUATION, 0, 1, b""), frames.PROTOCOL_ERROR),
    "endless continuations": (
        frame(frames.HEADERS, 0, 1, b"") + frame(frames.CONTINUATION, 0, 1, b"") * 100,
        frames.ENHANCE_YOUR_CALM,
    ),
    "a header block without end": (
        frame(frames.HEADERS, 0, 1, b"") + frame(frames.CONTINUATION, 0, 1, bytes(16_000)) * 3,
        frames.ENHANCE_YOUR_CALM,
    ),
    "a header index of nothing": (frame(frames.HEADERS, 5, 1, b"\xff\xff\x03"), frames.COMPRESSION_ERROR),
    "a header bomb": (
        frame(frames.HEADERS, 5, 1, b"\x40\x01a\x7f\x81\x1e" + b"x" * 4000 + b"\xbe" * 10_000),
        frames.COMPRESSION_ERROR,
    ),
    "a table too large": (frame(frames.HEADERS, 5, 1, b"\x3f\xe2\x1f" + block()), frames.COMPRESSION_ERROR),
    "all padding": (headers(1) + frame(frames.DATA, frames.PADDED, 1, b"\x09abc"), frames.PROTOCOL_ERROR),
    "no window at all": (frames.window_update(0, 0), frames.PROTOCOL_ERROR),
    "a window too wide": (frames.window_update(0, 2**31 - 1) * 2, frames.FLOW_CONTROL_ERROR),
    "a first window too wide": (frames.settings(initial_window_size=2**31), frames.FLOW_CONTROL_ERROR),
    "settings cut off": (frame(frames.SETTINGS, 0, 0, bytes(5)), frames.FRAME_SIZE_ERROR),
    "frames too small": (frames.settings(max_frame_size=100), frames.PROTOCOL_ERROR),
    "a ping cut off": (frame(frames.PING, 0, 0, bytes(7)), frames.FRAME_SIZE_ERROR),
    "a push": (frame(frames.PUSH_PROMISE, 4, 1, bytes(4)), frames.PROTOCOL_ERROR),
    "data after the end": (headers(1) + data(1, b"", end=True) + data(1, b"x"), None),
    "empty frames for ever": (headers(1) + data(1, b"", end=False) * 10_100, frames.ENHANCE_YOUR_CALM),
    "pings for ever": (frame(frames.PING, 0, 0, bytes(8)) * 10_100, frames.ENHANCE_YOUR_CALM),
    "settings for ever": (frames.settings() * 10_100, frames.ENHANCE_YOUR_CALM),
    "streams opened to be reset": (
        b"".join(headers(1 + 2 * at) + frames.reset(1 + 2 * at, frames.CANCEL) for at in range(1100)),
        frames.ENHANCE_YOUR_CALM,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_who_breaks_the_protocol_loses_the_connection_and_nobody_else(server, case):
    sent, code = BROKEN[case]
    greeting = b"" if case == "http/1" else frames.PREFACE + frames.settings()
    with connected(server, greeting=greeting) as peer:
        peer.send(sent)
        if code is not None:
            assert peer.farewell() == code
    goes_on(server)


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"_method": "GET"}, {":status": "405"}),
        ({"content_type": "application/json"}, {":status": "415"}),
        ({"_path": "/none/None"}, {":status": "200", "grpc-status": "12"}),
        ({"_path": "/" + "x" * 5000}, {":status": "200", "grpc-status": "12"}),
        ({"grpc_encoding": "snappy"}, {":status": "200", "grpc-status": "12"}),
    ],
)
def test_calls_that_cannot_be_are_refused_at_once(server, changed, fields):
    with connected(server) as peer:
        flagged = b"\x01" + message()[1:] if "grpc_encoding" in changed else message()
        peer.send(headers(1, **changed), data(1, flagged))
        found, _ = peer.answer(1)
        assert {name: found.get(name) for name in fields} == fields
        peer.send(call(3))
        assert answered(peer.answer(3)) == 6.0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", "3"),
        (message()[:-1], "3"),
        (message()[:3], "3"),
        (message() * 2, "3"),
        (b"\0\xff\xff\xff\xff", "8"),
        (b"\x01" + message()[1:], "12"),
    ],
)
def test_bodies_that_lie_about_their_messages_are_refused(server, body, status):
    with connected(server) as peer:
        peer.send(headers(1), data(1, body))
        assert peer.answer(1)[0]["grpc-status"] == status
        peer.send(call(3))
        assert answered(peer.answer(3)) == 6.0


def test_a_size_beyond_the_bound_is_refused_before_it_comes(server):
    with connected(server) as peer:
        peer.send(headers(1), data(1, b"\0\x7f\xff\xff\xff" + bytes(100), end=False))
        assert peer.answer(1)[0]["grpc-status"] == "8"
        peer.send(data(1, bytes(1000), end=False), call(3))
        assert answered(peer.answer(3)) == 6.0


def test_a_connection_holds_no_more_than_its_share(tmp_path):
    """Messages of nearly the largest size, of which none is whole."""
    (tmp_path / "mainstay.toml").write_text(project_of_double(max_body=1_000_000))
    part = b"\0" + (990_000).to_bytes(4, "big") + bytes(15_000)
    running = serving(tmp_path, ("double", double()), options=("--grpc-port", "0"))
    with running as server, connected(server) as peer:
        for at in range(5):
            stream = 1 + 2 * at
            parts = (data(stream, bytes(16_000), end=False) for _ in range(60))
            peer.send(headers(stream), data(stream, part, end=False), *parts)
        kind, _, stream, fields = peer.frames(lambda each: each[0] == frames.HEADERS)[-1]
        assert (kind, stream, peer.decoder.read(fields)["grpc-status"]) == (frames.HEADERS, 9, "8")
        peer.send(call(101))
        assert answered(peer.answer(101)) == 6.0


def test_messages_that_become_large_are_refused_one_by_one(server):
    packed = {True: gzip.compress(bytes(30_000_000)), False: gzip.compress(message()[5:])}
    with connected(server) as peer:
        for at in range(24):
            whole = b"\x01" + len(packed[at % 2 > 0]).to_bytes(4, "big") + packed[at % 2 > 0]
            parts = [whole[cut : cut + 16_000] for cut in range(0, len(whole), 16_000)]
            body = [data(1 + 2 * at, each, end=each is parts[-1]) for each in parts]
            peer.send(headers(1 + 2 * at, grpc_encoding="gzip"), *body)
            fields, answer = peer.answer(1 + 2 * at)
            if at % 2:
                assert fields["grpc-status"] == "8"
            else:
                assert answered((fields, answer)) == 6.0


def test_a_compression_that_is_not_known_is_refused_with_those_that_are(server):
    with connected(server) as peer:
        peer.send(headers(1, grpc_encoding="snappy"), data(1, b"\x01" + message()[1:]))
        fields, _ = peer.answer(1)
        assert (fields["grpc-status"], fields["grpc-accept-encoding"]) == ("12", "identity,gzip,deflate")


def test_streams_beyond_the_bound_are_refused_and_the_others_go_on(server):
    with connected(server) as peer:
        peer.send(*(headers(1 + 2 * at) for at in range(1001)))
        found = peer.frames(lambda each: each[0] == frames.RST_STREAM)
        assert found[-1][2:] == (2001, frames.REFUSED_STREAM.to_bytes(4, "big"))
        peer.send(data(1, message()))
        assert answered(peer.answer(1)) == 6.0


def test_a_deadline_counts_while_the_message_is_still_coming(server):
    with connected(server) as peer:
        begun = time.monotonic()
        peer.send(headers(1, grpc_timeout="50m"))
        assert peer.answer(1)[0]["grpc-status"] == "4"
        assert time.monotonic() - begun < 15


def test_a_caller_that_goes_away_takes_nothing_along(server):
    for sent in (headers(1), call(1), headers(1) + data(1, message()[:9], end=False), frames.PREFACE[:9]):
        with connected(server) as peer:
            peer.send(sent)
    with connected(server) as peer:
        peer.send(call(1), frame(frames.GOAWAY, 0, 0, bytes(8)))
        assert answered(peer.answer(1)) == 6.0
        assert peer.socket.recv(65536) == b"", "nothing is open, and nothing will be"
    goes_on(server)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("1H", 3600),
        ("5M", 300),
        ("2S", 2),
        ("50m", 0.05),
        ("7u", 7e-6),
        ("99999999n", 0.099999999),
        ("99999999H", None),
        (None, None),
    ],
)
def test_timeouts_are_read_as_the_protocol_has_them(said, seconds):
    assert timeout(said) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("said", ["", "5", "S", "-1S", "1s", "123456789S", "1.5S", "\u0661S"])
def test_what_is_no_timeout_is_refused(said):
    with pytest.raises(Problem, match="such as 250m"):
        timeout(said)


def test_a_call_whose_timeout_makes_no_sense_is_refused_and_the_others_go_on(server):
    with connected(server) as peer:
        peer.send(headers(1, grpc_timeout="soon"), data(1, message()), call(3))
        assert peer.answer(1)[0]["grpc-status"] == "3"
        assert answered(peer.answer(3)) == 6.0


# RFC 7541, appendix C: three requests on one connection, with Huffman's code and without.
EXAMPLES = {
    "C.3": (
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ),
    "C.4": (
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_headers_are_read_as_in_the_examples_of_the_rfc(example):
    decoder = Decoder()
    first, second, third = (decoder.read(bytes.fromhex(each)) for each in EXAMPLES[example])
    common = {":method": "GET", ":authority": "www.example.com"}
    assert first == {**common, ":scheme": "http", ":path": "/"}
    assert second == {**first, "cache-control": "no-cache"}
    assert third == {**common, ":scheme": "https", ":path": "/index.html", "custom-key": "custom-value"}


@pytest.mark.parametrize(
    "wrong", [b"\xff\xff\xff\xff", b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\x00", b"\xff" * 2]
)
def test_strings_that_end_wrongly_are_refused(wrong):
    with pytest.raises(Broken):
        decoded(wrong)


@given(
    st.lists(
        st.tuples(
            st.text("abc-", min_size=1, max_size=5), st.text(max_size=200, alphabet=st.characters(max_codepoint=255))
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read(pairs):
    fields = dict(pairs)
    assert Decoder().read(b"".join(literal(*pair) for pair in fields.items())) == fields


@given(st.binary(max_size=400))
def test_no_header_block_is_a_fault(junk):
    decoder = Decoder()
    try:
        for _ in range(3):
            fields = decoder.read(junk)
            assert sum(len(name) + len(value) for name, value in fields.items()) <= 2 * LONGEST
    except Broken as error:
        assert error.code == frames.COMPRESSION_ERROR


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.closed, self.written = False, bytearray()

    def write(self, data) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high=None, low=None) -> None:
        pass


class Echo:
    """A server that answers each stream with its own body, as soon as that is whole."""

    max_body = 1000

    def opened(self, connection, stream, fields):
        class Exchange:
            body = b""

            def received(self, data, *, ended):
                self.body += data
                if ended:
                    connection.out.answer(stream, b"\x88", self.body, literal("grpc-status", "0"))

            def gone(self):
                pass

        return Exchange()

    def joined(self, connection):
        return True

    def left(self, connection):
        pass


STREAM = st.sampled_from([0, 1, 1, 3, 3, 5, 7, 2, 2**31 - 1])
FRAMES = st.one_of(
    st.builds(frame, st.integers(0, 11), st.integers(0, 255), STREAM, st.binary(max_size=40)),
    st.builds(headers, STREAM, end=st.booleans()),
    st.builds(data, STREAM, st.binary(max_size=200), end=st.booleans()),
    st.builds(frames.window_update, STREAM, st.integers(0, 2**31 - 1)),
    st.builds(lambda size: frames.settings(initial_window_size=size), st.integers(0, 2**32 - 1)),
    st.builds(lambda stream: frames.reset(stream, frames.CANCEL), STREAM),
    st.binary(max_size=20),
)


@settings(max_examples=examples(600))
@given(sent=st.lists(FRAMES, max_size=12), cuts=st.lists(st.integers(1, 60), max_size=40), preface=st.booleans())
def test_no_sequence_of_frames_is_a_fault(sent, cuts, preface):
    async def speak() -> None:
        connection, wire = Connection(Echo()), Wire()
        connection.connection_made(wire)
        rest = (frames.PREFACE if preface else b"") + b"".join(sent)
        for size in [*cuts, len(rest)]:
            if not wire.closed:
                connection.data_received(rest[:size])
            rest = rest[size:]
        assert connection.held >= 0
        connection.drain()
        connection.connection_lost(None)

    asyncio.run(speak())
