"""How a host listens, and how a worker hears it: in one process, over real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
import threading

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstay.models.answers import Answers
from mainstay.models.signature import Cells
from mainstay.serving.frames import LONGEST, Ask, Cutter, Told, framed
from mainstay.serving.host_client import HostClient, HostDied, HostGone, HostSilent
from mainstay.serving.host_listening import Listening
from mainstay.serving.pace import Pace


def rows(*values: float) -> Cells:
    return Cells(np.array(values).reshape(-1, 1), {})


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 30), min_size=1))
def test_documents_come_out_whole_and_in_order_however_they_arrive(documents, pieces):
    data = b"".join(struct.pack(">I", len(each)) + each for each in documents)
    cutter, found, at, turn = Cutter(), [], 0, 0
    while at < len(data):
        step = pieces[turn % len(pieces)]
        found += map(bytes, cutter.cut(data[at : at + step]))
        at, turn = at + step, turn + 1
    assert found == documents


def test_a_length_that_is_none_of_ours_is_refused():
    with pytest.raises(ConnectionError, match="none of ours"):
        Cutter().cut(struct.pack(">I", LONGEST + 1))


def test_a_model_is_quick_once_it_has_been_for_a_while_and_no_more_when_it_dawdles():
    pace = Pace()
    asked = 0
    while not pace.quick(1):
        pace.took(1, 0.0001)
        asked += 1
    assert 5 < asked < 15
    assert not pace.quick(100_000)
    pace.took(4, 0.4)
    assert not pace.quick(1)


WATCHED = """
import sys, time
from mainstay.serving.watchdog import Watchdog
dog = Watchdog(0.4, sys.stderr)
for _ in range(3):
    dog.watch()
    while (again := dog.rest()) is not None:
        time.sleep(again)
time.sleep(1.0)
print("rested", flush=True)
dog.watch()
while True:
    pass
"""


def test_who_computes_for_too_long_is_ended_and_who_rests_is_not():
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "rested\n")
    assert "Timeout" in done.stderr


class Scripted:
    """Answers each row with itself; one of five rows waits for a word from the test."""

    spent = False

    def __init__(self) -> None:
        self.begun, self.word = threading.Event(), threading.Event()
        self.threads: dict[int, str] = {}
        self.present = 0

    def __call__(self, ask: Ask) -> bytes:
        self.present += 1
        assert self.present == 1
        self.threads[ask.id] = threading.current_thread().name
        if ask.shape[0] == 5:
            self.begun.set()
            assert self.word.wait(20)
        self.present -= 1
        return framed(Told.of(ask.id, Answers(values=ask.cells().numbers[:, 0])))

    def quick(self, rows: int) -> bool:
        return rows != 5

    def rest(self) -> None:
        return None


class Line:
    """Asks over a socket, as plainly as can be."""

    def __init__(self, path) -> None:
        self._socket, self._cutter, self._told = socket.socket(socket.AF_UNIX), Cutter(), []
        self._socket.settimeout(20)
        self._socket.connect(str(path))

    def say(self, *asks: Ask) -> None:
        self._socket.sendall(b"".join(map(framed, asks)))

    def hear(self) -> Told:
        while not self._told:
            documents = self._cutter.cut(self._socket.recv(65_536))
            self._told += [msgspec.msgpack.decode(each, type=Told) for each in documents]
        return self._told.pop(0)

    def close(self) -> None:
        self._socket.close()


def listening(tmp_path, script) -> Scripted:
    """Runs a script beside a host that listens in this thread, and ends it as an agent does."""
    answering, path = Scripted(), tmp_path / "host.sock"
    read, write = os.pipe()
    failed = []

    def run() -> None:
        try:
            script(answering, path)
        except Exception as error:  # noqa: BLE001 - raised again in the test's own thread
            failed.append(error)
        answering.word.set()
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=run)
    try:
        host = Listening(answering, path, lambda kind, message, **facts: None, agent=read)
        host.until_let_go(thread.start, within=20)
    finally:
        signal.signal(signal.SIGTERM, before)
        thread.join()
        os.close(read)
        os.close(write)
    if failed:
        raise failed[0]
    assert not path.exists()
    return answering


def test_what_is_quick_is_computed_at_once_and_what_is_slow_keeps_nobody_from_being_heard(tmp_path):
    def script(answering, path):
        slow, other = Line(path), Line(path)
        slow.say(Ask.of(1, rows(1.0)), Ask.of(2, rows(*range(5))), Ask.of(3, rows(3.0)))
        assert slow.hear().answers().values.tolist() == [1.0]
        assert answering.begun.wait(20)
        other.say(Ask(4, (0, 0), b"", {}, nothing=True))
        assert other.hear().id == 4  # who asks whether it lives is told, though it computes
        other.say(Ask.of(5, rows(7.0)))
        answering.word.set()
        assert [(told.id, told.answers().values.tolist()) for told in (slow.hear(), slow.hear())] == [
            (2, [0.0, 1.0, 2.0, 3.0, 4.0]),
            (3, [3.0]),
        ]
        assert other.hear().answers().values.tolist() == [7.0]
        slow.close()
        other.close()

    threads = listening(tmp_path, script).threads
    assert threads[1] == threading.main_thread().name
    assert threads[2] != threading.main_thread().name


def test_an_answer_that_does_not_fit_the_socket_arrives_whole_and_who_hangs_up_harms_nobody(tmp_path):
    many = np.random.default_rng(0).random(400_000)

    def script(answering, path):
        del answering
        large, gone, last = Line(path), Line(path), Line(path)
        large.say(Ask.of(1, rows(*many)), Ask.of(2, rows(2.0)))
        gone.say(Ask.of(3, rows(*many)))
        gone.close()
        broken = Line(path)
        broken.say(Told(1))  # no question
        last.say(Ask.of(4, rows(4.0)))
        assert last.hear().answers().values.tolist() == [4.0]
        assert large.hear().answers().values.tolist() == many.tolist()
        assert large.hear().answers().values.tolist() == [2.0]
        for line in (large, last, broken):
            line.close()

    listening(tmp_path, script)


@pytest.mark.parametrize(
    ("says", "error", "words"),
    [
        (None, HostSilent, "did not answer within 0.05 s"),
        (b"\xff" * 8, HostDied, "stopped"),
        (b"", HostDied, "stopped"),
    ],
    ids=["says nothing", "talks nonsense", "hangs up"],
)
def test_who_asks_a_host_that_does_not_answer_is_told_so(tmp_path, says, error, words):
    async def main() -> None:
        over, ended = asyncio.Event(), asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            if says is None:
                await over.wait()
            else:
                writer.write(says)
            writer.close()
            ended.set()

        server = await asyncio.start_unix_server(talk, tmp_path / "host.sock")
        client = HostClient(str(tmp_path / "host.sock"), version="loan:1", timeout=0.05 if says is None else 20.0)
        with pytest.raises(HostGone, match=words) as raised:
            await client.answer(rows(1.0))
        assert type(raised.value) is error
        assert client.waiting == 0
        over.set()
        await client.close()
        await ended.wait()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_who_asks_where_no_host_is_is_told_so(tmp_path):
    client = HostClient(str(tmp_path / "host.sock"), version="loan:1")
    with pytest.raises(HostGone, match="loan:1 cannot be reached"):
        asyncio.run(asyncio.wait_for(_asked(client), 20))


async def _asked(client: HostClient) -> Answers:
    return await client.answer(rows(1.0))
