"""The listening socket outlives workers and supervisors: nobody who is connected goes without his answer."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil
import pytest
from callers import REQUEST, Callers, calling
from live import Server, answers, serving, until
from subjects import SECONDS, good, loan

from mainstay.serving.accepting import connected, most_connections
from mainstay.serving.handover import Orphans
from mainstay.serving.listening import opened, passed, waiting
from mainstay.serving.ports import CannotListen, PortTaken
from mainstay.serving.routing import acknowledgements

RIGHT = {f"loan:{number}": good(1200.5, 1, True, SECONDS, number - 1.0) for number in (1, 2)}
PROJECT = """
name = "loan"
target = "class"
task = "binary"
positive = "good"
[data]
path = "loan.csv"
[columns]
age = "number"
[serve]
orphaned_for = 0.3
"""

AS_SYSTEMD = """
import fcntl, os, sys
given = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1].split(",")]
for at, number in enumerate(given, 3):
    os.dup2(number, at)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The process is told its own id, and finds the sockets at 3 and beyond."""


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    with serving(tmp_path, ("loan", loan()), options=("--workers", "2")) as running:
        until(lambda: len(ready(running)) == 2)
        yield running


def ready(server: Server) -> set[int]:
    """The living workers of a server that have followed its table."""
    runs = (server.folder / ".mainstay" / "run").iterdir()
    return {said.pid for run in runs for said in acknowledgements(run)} & {each.pid for each in server.workers()}


@contextmanager
def another(
    server: Server, *words: str, options: tuple[str, ...] = (), pass_fds: tuple[int, ...] = ()
) -> Iterator[Server]:
    """A further `mainstay serve` in the project of a server; `words` stand before its command."""
    log = server.folder / "another.log"
    command = [*words, sys.executable, "-m", "mainstay", "serve", "--port", str(server.port), "--workers", "2"]
    command += options
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=server.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=pass_fds
        )
    try:
        yield Server(server.folder, process, server.url, log)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(40)


def connection(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def asked(each: socket.socket) -> bytes:
    """What is answered to one request; nothing where the connection is lost."""
    try:
        each.sendall(REQUEST)
        return each.recv(65536)
    except ConnectionError:
        return b""


def nobody_failed(callers: Callers) -> None:
    assert callers.failed == []
    assert callers.count


def test_a_killed_worker_takes_its_own_connections_along_and_no_others(server):
    first, second = server.workers()
    kept = [connection(server.port) for _ in range(10)]
    assert all(asked(each).startswith(b"HTTP/1.1 200") for each in kept)
    lost = {each.raddr.port for each in first.net_connections("tcp") if each.status == psutil.CONN_ESTABLISHED}
    for worker in (first, second):
        worker.suspend()
    waiting_ones = [connection(server.port) for _ in range(20)]
    for each in (*kept, *waiting_ones):
        each.sendall(REQUEST)
    first.kill()
    second.resume()
    for each in (*kept, *waiting_ones):
        with each:
            port = each.getsockname()[1]
            try:
                said = each.recv(65536)
            except ConnectionResetError:
                said = b""
            assert said.startswith(b"HTTP/1.1 200") == (port not in lost)
    until(lambda: len(ready(server)) == 2)


def test_workers_that_die_under_load_cost_no_more_than_what_they_were_answering(server):
    with calling(server.port, RIGHT) as callers:
        for _ in range(3):
            before = callers.count
            until(lambda before=before: callers.count > before + 200)
            victim = server.workers()[0]
            victim.suspend()  # so that what it holds can be counted
            until(lambda victim=victim: victim.status() == psutil.STATUS_STOPPED)
            mine = sum(each.status == psutil.CONN_ESTABLISHED for each in victim.net_connections("tcp"))
            failed = len(callers.failed)
            victim.kill()
            until(lambda victim=victim: victim.pid not in {each.pid for each in server.workers()})
            until(lambda: len(ready(server)) == 2)
            assert len(callers.failed) - failed <= mine
    assert callers.count > 600
    assert callers.refused == 0
    assert not [error for error in callers.failed if "AssertionError" in error or "KeyError" in error]


def test_a_server_that_drains_answers_everybody_whom_it_let_in(server):
    silent = connection(server.port)
    with calling(server.port, RIGHT, kept=4, fresh=4) as callers:
        until(lambda: callers.count > 500)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in server.log.read_text())
        with silent:  # he was let in long ago, and asks now for the first time
            said = asked(silent)
        assert server.process.wait(30) == 0
        until(lambda: callers.refused)
    nobody_failed(callers)
    assert said.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in said.lower()


def test_a_killed_supervisor_is_replaced_without_a_failed_or_refused_request(server):
    old = server.workers()
    with calling(server.port, RIGHT) as callers:
        until(lambda: callers.count > 200)
        server.process.kill()
        server.process.wait()
        with another(server) as new:
            until(lambda: len(ready(new)) == 2)
            _, alive = psutil.wait_procs(old, timeout=30)
            assert alive == []
            before = callers.count
            until(lambda: callers.count > before + 200)
            assert new.add("loan", loan(shift=1.0)) == "loan:2"
            assert new.settled("loan") == {}
            before = callers.count
            until(lambda: callers.count > before + 200)
            callers.end()
            new.process.terminate()
            assert new.process.wait(30) == 0
    nobody_failed(callers)
    assert callers.refused == 0
    assert callers.answered["loan:2"] > 0
    assert list((server.folder / ".mainstay" / "run").iterdir()) == []


def test_a_server_that_is_ended_as_it_takes_over_ends_the_port_and_the_next_one_answers(server):
    server.process.kill()
    server.process.wait()
    with another(server) as second:
        until(lambda: b"taken_over" in second.log.read_bytes())
        second.process.terminate()
        assert second.process.wait(40) == 0
    until(lambda: not answers(server.url))
    with another(server):
        assert until(lambda: answers(server.url))


def test_a_worker_that_was_late_to_offer_its_socket_ends_with_the_server_that_took_it(server):
    """It would hold the port for a minute, and the one who comes next could not have it."""
    late, other = server.workers()
    late.suspend()
    try:
        server.process.kill()
        server.process.wait()
        with another(server) as second:
            until(lambda: b"taken_over" in second.log.read_bytes())
            second.process.terminate()
            assert psutil.wait_procs([other], timeout=30)[1] == []  # it was told
            late.resume()
            assert second.process.wait(40) == 0
    finally:
        with suppress(psutil.NoSuchProcess):
            late.resume()
    assert psutil.wait_procs([late], timeout=15)[1] == []
    assert not answers(server.url)


def test_a_port_that_took_nobody_any_more_is_taken_over_and_answers(server):
    """A supervisor turns new callers away before it ends; one that is killed then leaves a port that does so."""
    server.process.kill()
    server.process.wait()
    with Orphans(server.folder / ".mainstay", lambda *said, **facts: None) as orphans:
        listening = orphans.listening("127.0.0.1", server.port)
        assert listening is not None
        listening.finish(lambda: False)
        listening.close()
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", server.port), timeout=0.3)
    with another(server):
        assert until(lambda: answers(server.url))


def test_the_port_for_grpc_is_taken_over_too(tmp_path):
    with serving(tmp_path, ("loan", loan()), options=("--grpc-port", "0")) as server:
        found = until(lambda: re.search(r'"grpc":"127.0.0.1:(\d+)"', server.log.read_text()))
        old = server.workers()
        server.process.kill()
        server.process.wait()
        with another(server, options=("--grpc-port", found[1])):
            _, alive = psutil.wait_procs(old, timeout=30)
            assert alive == []
            with connection(int(found[1])) as caller:
                caller.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
                assert caller.recv(100)[3] == 4  # settings, the first frame of a server that speaks HTTP/2


def test_orphaned_workers_end_when_nobody_comes(tmp_path):
    (tmp_path / "mainstay.toml").write_text(PROJECT)
    with serving(tmp_path, ("loan", loan())) as server:
        workers = server.workers()
        with connection(server.port) as caller:
            server.process.kill()
            server.process.wait()
            assert asked(caller).startswith(b"HTTP/1.1 200")
        _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
    assert '"kind":"orphaned"' in server.log.read_text()


def test_a_port_on_which_orphans_answer_is_another_projects_to_wait_for(server, tmp_path):
    server.process.kill()
    server.process.wait()
    with pytest.raises(PortTaken):
        opened("127.0.0.1", server.port)
    assert answers(server.url)


def test_a_socket_of_systemd_outlives_the_server(server):
    """Whoever connects between two servers is answered by the second."""
    with opened("127.0.0.1", 0).socket as ours:
        port = ours.getsockname()[1]
        words = (sys.executable, "-c", AS_SYSTEMD, str(ours.fileno()), "web")
        with calling(port, RIGHT, kept=2, fresh=2) as callers:
            for _ in range(2):
                with another(server, *words, pass_fds=(ours.fileno(),)) as unit:
                    before = callers.count
                    until(lambda before=before: callers.count > before + 100)
                    unit.process.terminate()
                    assert unit.process.wait(30) == 0
            callers.end()
            with another(server, *words, pass_fds=(ours.fileno(),)) as unit:  # for whoever is waiting now
                until(lambda: callers.done)
                until(lambda: f'"url":"http://127.0.0.1:{port}"' in unit.log.read_text())
        nobody_failed(callers)
        assert callers.refused == 0


@pytest.mark.parametrize("names", ["mainstay.socket:mainstay.socket", "grpc:web"])
def test_systemd_may_hold_the_port_of_grpc_too(server, names):
    """By its name, else as the second."""
    grpc = pytest.importorskip("grpc")  # a library of the tests alone
    with opened("127.0.0.1", 0).socket as one, opened("127.0.0.1", 0).socket as other:
        web, calls = (other, one) if names == "grpc:web" else (one, other)
        words = (sys.executable, "-c", AS_SYSTEMD, f"{one.fileno()},{other.fileno()}", names)
        at = f"127.0.0.1:{calls.getsockname()[1]}"
        with another(server, *words, pass_fds=(one.fileno(), other.fileno())) as unit:
            until(lambda: f'"grpc":"{at}"' in unit.log.read_text())
            assert answers(f"http://127.0.0.1:{web.getsockname()[1]}")
            with grpc.insecure_channel(at) as channel:
                asked = channel.unary_unary("/grpc.health.v1.Health/Check")
                assert asked(b"", timeout=20) == b"\x08\x01"  # SERVING


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "3"}, "systemd passes 3 sockets"),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, None),
        ({"LISTEN_FDS": "1"}, None),
        ({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}, None),
        ({}, None),
    ],
)
def test_what_systemd_says_is_for_one_process_and_one_socket(environment: Mapping[str, str], told: str | None):
    given = dict(environment)
    if told is None:
        assert passed(given) == ()
    else:
        with pytest.raises(CannotListen, match=told):
            passed(given)
    assert given == {}


def test_the_queue_of_a_listening_socket_runs_empty_before_it_is_closed():
    listening = opened("127.0.0.1", 0)
    port = listening.port
    with connection(port) as caller, listening.socket:
        assert waiting(listening.socket) == 1
        looks = iter([True, True, False])

        def alive() -> bool:
            return next(looks)

        listening.finish(alive)  # nobody accepts: it waits while somebody might
        assert next(looks, None) is None
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", port), timeout=0.3)
        taken, _ = listening.socket.accept()
        with taken:
            taken.setblocking(True)
            taken.sendall(b"still here")
            assert caller.recv(100) == b"still here"
            assert connected(port)
    assert not connected(port)


def test_as_many_connections_are_kept_as_files_may_be_opened():
    code = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, ({}, {})); from mainstay.serving import accepting"
    code += "; print(accepting.most_connections(), r.getrlimit(r.RLIMIT_NOFILE)[0])"
    for soft, hard, expected in ((512, 4096, "3840 4096"), (300, 300, "44 300"), (100, 100, "16 100")):
        said = subprocess.run(
            [sys.executable, "-c", code.format(soft, hard)], capture_output=True, text=True, check=True
        ).stdout
        assert said.strip() == expected
    assert most_connections() >= 16
