"""Crowds of clients that are idle, or slow, or stop half-way: nobody waits for them, and they do not stay for ever.

`make crowd` runs the same with 10,000 of them, and waits until those are gone that have to go: a minute.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from callers import BODY, REQUEST, calling
from live import serving, until
from subjects import GOOD, loan

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CROWD = int(os.environ.get("MAINSTAY_TEST_CROWD", "400"))
LONG = CROWD > 400
GONE_WITHIN = 100.0
"""Seconds in which silent connections are closed: after 60 without a whole head, or of silence."""
KINDS = {
    "idle": (b"", b""),
    "head that comes by and by": (b"POST /predict HTTP/1.1\r\nHost: localhost\r\n", b"X-More: 1\r\n"),
    "body that comes by and by": (HEAD + b"Content-Length: 900000\r\n\r\n", b"["),
    "answers that nobody reads": (REQUEST * 20, b""),
    "half closed in its head": (b"POST /predict HTTP/1.1\r\nHost:", None),
    "half closed in its body": (HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:5], None),
    "half closed after its request": (REQUEST, None),
}
"""What each kind of client sends at once, and then again and again; None: it closes its side for sending."""


@contextmanager
def many_files(number: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number:
        pytest.skip(f"this system allows {hard} open files, and the test needs {number}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def crowd(port: int) -> Iterator[tuple[str, socket.socket]]:
    """Most are idle, a tenth are of the other kinds."""
    slow = [kind for kind in KINDS if kind != "idle"]
    for number in range(CROWD):
        kind = "idle" if number % 10 else slow[number // 10 % len(slow)]
        made = socket.create_connection(("127.0.0.1", port), timeout=30)
        at_once, later = KINDS[kind]
        made.sendall(at_once)
        if later is None:
            made.shutdown(socket.SHUT_WR)
        yield kind, made


def ended(connection: socket.socket) -> bool:
    """Whether the server has closed a connection; what it said before is thrown away."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def test_a_crowd_that_asks_for_nothing_shuts_nobody_out(tmp_path):
    with many_files(CROWD + 500), serving(tmp_path, ("loan", loan()), options=("--workers", "2")) as server:
        before = sum(worker.memory_info().rss for worker in server.workers())
        members = list(crowd(server.port))
        try:
            with calling(server.port, {"loan:1": GOOD}, kept=4, fresh=4) as callers:
                begun = time.monotonic()
                until(lambda: callers.count >= 500)
                took = time.monotonic() - begun
                after = sum(worker.memory_info().rss for worker in server.workers())
                print(f"\n{CROWD} connections: {(after - before) >> 20} MB more in two workers; ", end="")
                print(f"500 requests beside them took {took:.1f} s")
                if LONG:
                    waited_out(members)
                assert callers.failed == []
                assert callers.refused == 0
            half = [connection for kind, connection in members if kind.startswith("half closed")]
            until(lambda: all(ended(connection) for connection in half))
        finally:
            for _, connection in members:
                connection.close()
        assert len(server.workers()) == 2
        with server.client() as client:
            none = 'mainstay_requests_in_flight{model="loan",version="loan:1"} 0\n'
            until(lambda: none in client.get("/metrics").text, 60)
    assert '"kind":"fault"' not in server.log.read_text()
    assert '"kind":"worker_died"' not in server.log.read_text()


def waited_out(members: list[tuple[str, socket.socket]]) -> None:
    """Those that dribble go on doing so, and are closed all the same, as are those who say nothing."""
    over, left = time.monotonic() + GONE_WITHIN, members
    while left and time.monotonic() < over:
        left = [(kind, connection) for kind, connection in left if not ended(connection)]
        for kind, connection in left:
            with suppress(OSError):
                connection.send(KINDS[kind][1] or b"")
        time.sleep(1.0)
    assert {kind for kind, _ in left} == set()
