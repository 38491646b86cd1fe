"""Clients that lie, stall, leave, or come in crowds: each costs its own request alone."""

from __future__ import annotations

import json
import random
import resource
import socket
import struct
from collections.abc import Iterator

import pytest
from live import until
from subjects import ROW

BODY = json.dumps(ROW).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def still_well(server) -> Iterator[None]:
    """After each test the same workers answer, and nothing is left in flight."""
    before = {worker.pid for worker in server.workers()}
    yield
    assert {worker.pid for worker in server.workers()} == before
    with server.client() as client:
        assert client.post("/predict", json=ROW).status_code == 200
        until(lambda: 'mainstay_requests_in_flight{model="loan",version="loan:1"} 0\n' in client.get("/metrics").text)
    faults = [line for line in server.log.read_text().splitlines() if '"kind":"fault"' in line]
    assert faults == []


def connected(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def statuses(said: bytes) -> list[int]:
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


SMUGGLED = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}",
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length with a sign": b"Content-Length: +2\r\n\r\n{}",
    "a length beyond 64 bits": b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a length that is no number": b"Content-Length: two\r\n\r\n{}",
    "a chunk size that is none": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk of a negative size": b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "an unknown encoding": b"Transfer-Encoding: gzip\r\n\r\n{}",
    "blanks before the colon": b"Content-Length : 2\r\n\r\n{}",
}


@pytest.mark.parametrize("case", SMUGGLED)
def test_a_request_of_unsure_length_is_refused_and_its_connection_closed(server, case):
    with connected(server) as connection:
        connection.sendall(HEAD + SMUGGLED[case] + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        said = statuses(everything(connection))
    assert 200 not in said, "what stood behind the body was taken for a request"


def test_chunks_beside_a_length_are_one_request_or_none(server):
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    with connected(server) as connection:
        connection.sendall(HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked)
        said = connection.recv(65536)
    assert statuses(said) in ([200], [400])


def test_lines_that_end_in_a_line_feed_alone_are_lines(server):
    """As RFC 9112, 2.2 allows; a proxy that reads them otherwise gets the same request, or none."""
    with connected(server) as connection:
        connection.sendall(HEAD.replace(b"\r\n", b"\n") + b"Content-Length: %d\n\n" % len(BODY) + BODY)
        assert statuses(connection.recv(65536)) == [200]


@pytest.mark.parametrize("sizes", [[1], [7, 1, 30], [100_000]])
def test_a_body_may_come_in_chunks_of_any_size(server, sizes):
    chunks, at = [], 0
    while at < len(BODY):
        size = sizes[len(chunks) % len(sizes)]
        chunks.append(BODY[at : at + size])
        at += size
    with connected(server) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for chunk in chunks:
            connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_in_the_middle_of_its_body_is_forgotten(server):
    for reset in (False, True):
        with connected(server) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + BODY[:20])
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_client_that_closes_its_side_after_asking_does_no_harm(server):
    """He may be answered or not: to granian he is gone, which `half_close` of its HTTP library would change."""
    for _ in range(20):
        with connected(server) as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
            connection.shutdown(socket.SHUT_WR)
            assert set(statuses(everything(connection))) <= {200}


def test_a_great_length_that_is_not_kept_is_never_waited_for(server):
    with connected(server) as connection:
        connection.sendall(HEAD + b"Content-Length: 100000000\r\n\r\n")
        connection.sendall(b"x" * 1000)
        connection.shutdown(socket.SHUT_WR)
        assert set(statuses(everything(connection))) <= {400, 413}


def test_headers_without_end_are_refused(server):
    with connected(server) as connection:
        sent = 0
        try:
            connection.sendall(HEAD)
            while sent < 20_000_000:
                connection.sendall(b"X-Filler: " + b"y" * 60_000 + b"\r\n")
                sent += 60_000
        except OSError:
            pass
        said = everything(connection)
    assert sent < 20_000_000
    assert not [status for status in statuses(said) if status < 400]


def test_requests_in_a_row_on_one_connection_are_answered_in_their_order(server):
    asked = [json.dumps({"inputs": [ROW], "id": f"r-{number}"}).encode() for number in range(50)]
    with connected(server) as connection:
        connection.sendall(b"".join(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in asked))
        said = b""
        while said.count(b'"id":"r-') < len(asked):
            part = connection.recv(65536)
            assert part, "the connection was closed early"
            said += part
    assert [int(part.split(b'"')[0]) for part in said.split(b'"id":"r-')[1:]] == list(range(50))


def test_a_crowd_of_idle_connections_shuts_nobody_out(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    crowd = 1500
    if hard < crowd + 200:
        pytest.skip(f"this system allows {hard} open files, and the test needs {crowd + 200}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, crowd + 200), hard))
    idle = []
    try:
        for number in range(crowd):
            idle.append(connected(server))
            if number % 2:
                idle[-1].sendall(HEAD + b"Content-Length: 500\r\n\r\n{")  # a body that stalls
        with server.client() as client:
            assert client.post("/predict", json=ROW).status_code == 200
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_noise_is_refused_and_never_a_fault(server):
    noise = random.Random(7)
    whole = json.dumps({"inputs": [ROW, ROW], "id": "x"}).encode()
    with server.client() as client:
        for _ in range(400):
            body = bytearray(whole)
            for _ in range(noise.randint(1, 6)):
                at = noise.randrange(len(body))
                match noise.randrange(3):
                    case 0:
                        body[at] = noise.randrange(256)
                    case 1:
                        del body[at : at + noise.randint(1, 9)]
                    case _:
                        body[at:at] = bytes(noise.choice(b'{}[]":,0eE-\\u\x00\xff') for _ in range(noise.randint(1, 4)))
            reply = client.post("/predict", content=bytes(body))
            assert reply.status_code in (200, 400)
            assert reply.json()
