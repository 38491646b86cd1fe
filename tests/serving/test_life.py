"""Versions come and go, workers die, servers end: what callers notice of it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psutil
import pytest
from live import serving, until
from subjects import ROW, SECONDS, good, loan

from mainstay.registry.store import Registry


@pytest.fixture
def server(tmp_path) -> Iterator:
    with serving(tmp_path, ("loan", loan()), options=("--workers", "2")) as running:
        yield running


@contextmanager
def asked_all_the_time(server) -> Iterator[list[tuple[int, str, float]]]:
    """Callers that ask without a pause while the block runs; every answer: status, version, probability."""
    seen: list[tuple[int, str, float]] = []
    over = threading.Event()

    def ask() -> None:
        with server.client() as client:
            while not over.is_set():
                reply = client.post("/predict", json=ROW)
                said = reply.json()
                seen.append((reply.status_code, said.get("model", ""), said.get("probabilities", {}).get("good", -1.0)))

    callers = [threading.Thread(target=ask) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        yield seen
    finally:
        over.set()
        for caller in callers:
            caller.join()


def test_a_new_version_takes_over_without_a_failed_or_a_wrong_answer(server):
    expected = {
        f"loan:{number}": good(1200.5, 1, True, SECONDS, shift) for number, shift in ((1, 0.0), (2, 1.0), (3, 2.0))
    }
    with asked_all_the_time(server) as seen:
        until(lambda: len(seen) > 50)
        for shift in (1.0, 2.0):
            assert server.add("loan", loan(shift=shift)) in expected
            assert server.settled("loan") == {}
        taken_over = len(seen)
        until(lambda: len(seen) > taken_over + 200)
    assert {status for status, _, _ in seen} == {200}
    assert {version for _, version, _ in seen} == set(expected)
    assert all(share == pytest.approx(expected[version], abs=1e-12) for _, version, share in seen)
    # Once all workers have acknowledged, nobody is answered by an earlier one, but who was being answered: of four.
    assert sum(version != "loan:3" for _, version, _ in seen[taken_over:]) <= 4


def test_a_version_that_misses_its_golden_predictions_never_answers(server):
    with asked_all_the_time(server) as seen:
        until(lambda: len(seen) > 20)
        assert server.add("loan", loan(shift=1.0, wrong=True)) == "loan:2"
        errors = server.settled("loan")
        asked = len(seen)
        until(lambda: len(seen) > asked + 50)
    assert "Golden predictions differ" in errors["loan"]
    assert {(status, version) for status, version, _ in seen} == {(200, "loan:1")}
    with server.client() as client:
        assert client.get("/readyz").status_code == 200


def test_a_damaged_file_is_refused_and_the_version_before_goes_on(server):
    ref = server.add("loan", loan(shift=1.0), deploy=False)
    with Registry.open(server.folder / ".mainstay") as registry:
        version = registry.version(ref)
        path = registry.blobs.path(registry.package(version).manifest.content["model.onnx"].sha256)
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        registry.deploy(version, expecting=registry.version("loan:1"), actor="test")
    assert "changed after it was registered" in server.settled("loan")["loan"]
    with server.client() as client:
        assert client.post("/predict", json=ROW).json()["model"] == "loan:1"


def test_a_killed_worker_is_replaced_and_its_counts_stay(server):
    for _ in range(20):
        assert httpx.post(f"{server.url}/predict", json=ROW).status_code == 200
    before = {worker.pid for worker in server.workers()}
    for pid in before:
        psutil.Process(pid).kill()
    until(lambda: len({worker.pid for worker in server.workers()} - before) == 2)

    def answered() -> bool:
        try:
            return httpx.post(f"{server.url}/predict", json=ROW).status_code == 200
        except httpx.TransportError:
            return False

    until(answered)
    with server.client() as client:
        line = 'mainstay_requests_total{model="loan",version="loan:1",protocol="plain",code="200"} '
        text = client.get("/metrics").text
    assert float(text.split(line)[1].split("\n")[0]) >= 21


def test_sigterm_lets_a_request_in_flight_end(server):
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        body = b'{"inputs": []}'
        caller.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5]
        )
        with server.client() as client:  # the one in flight has arrived once it is counted
            until(
                lambda: 'mainstay_requests_in_flight{model="loan",version="loan:1"} 1\n' in client.get("/metrics").text
            )
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in server.log.read_text())
        until(lambda: not listens(server.port))
        caller.sendall(body[5:])
        caller.settimeout(30)
        assert caller.recv(100).startswith(b"HTTP/1.1 200")
    assert server.process.wait(30) == 0
    assert list((server.folder / ".mainstay" / "run").iterdir()) == []


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_port_in_use_is_told_with_the_way_out(server):
    command = [sys.executable, "-m", "mainstay", "serve", "--port", str(server.port)]
    second = subprocess.run(command, cwd=server.folder, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 3
    assert f"Port {server.port} on 127.0.0.1 is in use" in second.stderr
    assert "--port" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_server_with_nothing_deployed_says_so_and_takes_what_comes(tmp_path):
    with serving(tmp_path) as server, server.client() as client:
        assert client.get("/readyz").status_code == 503
        reply = client.post("/predict", json=ROW)
        assert reply.status_code == 503
        assert "mainstay deploy" in reply.json()["error"]
        server.add("loan", loan())
        assert server.settled("loan") == {}
        assert client.post("/predict", json=ROW).json()["model"] == "loan:1"
        assert client.get("/readyz").status_code == 200
