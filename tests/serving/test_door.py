"""No web page of others drives a server: by rebinding a name, by a form, or by a request across sites."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live import serving
from subjects import ROW, loan

from mainstay.project import ProjectError, parse
from mainstay.serving.door import REMEMBERED, Door, names_us
from mainstay.serving.ports import loopback
from mainstay.serving.protocols.codec import Problem

OURS = ("127.0.0.1", "127.9.9.9:80", "[::1]:8080", "[::1]", "localhost", "LOCALHOST:8080", "localhost.", "a.localhost")
NOT_OURS = ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3", "", ":80")


def refused(door: Door, **headers: str) -> int | None:
    try:
        door.check({name.replace("_", "-"): value for name, value in headers.items()})
    except Problem as problem:
        return problem.status
    return None


@pytest.mark.parametrize("host", OURS)
def test_addresses_and_localhost_are_ours(host: str) -> None:
    assert names_us(host, (), dotless=False)


@pytest.mark.parametrize("host", NOT_OURS)
def test_a_name_that_somebody_may_own_is_not_ours(host: str) -> None:
    assert not names_us(host, ("ours.example",), dotless=True)


def test_the_names_of_the_machine_and_of_its_network_are_ours() -> None:
    assert names_us("ML.example.org:443", ("ml.example.org",), dotless=False)
    assert names_us("mainstay:8080", (), dotless=True) and not names_us("mainstay:8080", (), dotless=False)


@given(st.text(max_size=30))
def test_whatever_stands_as_host_or_origin_is_decided(text: str) -> None:
    names_us(text, (), dotless=True)
    refused(Door(loopback=True, origins=["https://a.example"]), host=text, origin=text, sec_fetch_site=text)


def test_where_callers_need_keys_any_name_is_right_unless_some_are_given() -> None:
    is_open = [True]
    door = Door(loopback=False, is_open=lambda: is_open[0])
    assert (refused(door, host="ml.example.org"), door.passes("ml.example.org", None)) == (421, False)
    is_open[0] = False
    assert (refused(door, host="ml.example.org"), door.passes("ml.example.org", None)) == (None, True)
    named = Door(loopback=False, hosts=["ml.example.org"], is_open=lambda: False)
    assert refused(named, host="evil.example") == 421
    assert refused(named, host="ml.example.org") is None and named.passes("ml.example.org", None)


def test_hosts_that_are_remembered_are_bounded() -> None:
    door = Door(loopback=True)
    for port in range(REMEMBERED * 3):
        assert refused(door, host=f"localhost:{port}") is None
    assert len(door._known) <= REMEMBERED + 1


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        (None, {"host": "127.0.0.1:8080"}),
        (None, {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080"}),
        (None, {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}),
        (None, {"host": "127.0.0.1:8080", "origin": "https://ml.example.org", "sec-fetch-site": "same-origin"}),
        (None, {"host": "127.0.0.1:8080", "sec-fetch-site": "none", "sec-fetch-mode": "navigate"}),
        (None, {"host": "127.0.0.1:8080", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}),
        (None, {"host": "127.0.0.1:8080", "origin": "https://a.example", "sec-fetch-site": "cross-site"}),
        (403, {"host": "127.0.0.1:8080", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}),
        (403, {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:3000"}),
        (403, {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1"}),
        (403, {"host": "127.0.0.1:8080", "origin": "null"}),
        (403, {"host": "127.0.0.1:8080", "origin": ""}),
        (403, {"host": "127.0.0.1:8080", "origin": "https://a.example.evil"}),
        (403, {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080", "sec-fetch-site": "cross-site"}),
        (421, {"host": "evil.example", "origin": "http://evil.example", "sec-fetch-site": "same-origin"}),
    ],
    ids=str,
)
def test_pages_of_others_are_refused(expected: int | None, headers: dict[str, str]) -> None:
    assert refused(Door(loopback=True, origins=["https://A.example/"]), **headers) == expected


def test_no_page_drives_a_local_server(server) -> None:
    with server.client() as client:
        for path in ("/predict", "/models/loan/predict", "/v2/models/loan/infer", "/invocations", "/metrics", "/"):
            rebound = client.post(
                path, json=ROW, headers={"host": "evil.example:80", "origin": "http://evil.example:80"}
            )
            assert (rebound.status_code, "error" in rebound.text) == (421, True)
            assert client.get(path, headers={"host": "evil.example"}).status_code == 421
            for origin in ("http://evil.example", "null", "http://localhost:3000"):
                reply = client.post(path, json=ROW, headers={"origin": origin})
                assert reply.status_code == 403 and "access-control-allow-origin" not in reply.headers
                asked = client.options(path, headers={"origin": origin, "access-control-request-method": "POST"})
                assert asked.status_code == 403 and "access-control-allow-origin" not in asked.headers
        assert client.post("/predict", json=ROW, headers={"origin": server.url}).status_code == 200
        assert client.get("/healthz", headers={"host": "whatever.example"}).status_code == 200
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/predict", content=b'{"age": 35}', headers=form).status_code == 400  # read, and not whole
        assert client.post("/predict", json=ROW, headers=form).status_code == 200
        assert client.post("/v2/repository/index", content=b"{}").status_code == 200
        for kind in (form["content-type"], "text/plain", "multipart/form-data; boundary=x"):
            assert client.post("/v2/repository/index", content=b"{}", headers={"content-type": kind}).status_code == 415


def test_a_server_that_others_reach_without_a_key_says_so(tmp_path) -> None:
    with serving(tmp_path, ("loan", loan()), options=("--host", "0.0.0.0")) as running:
        assert "mainstay keys create" in running.log.read_text()
        with running.client() as client:
            assert client.get("/models", headers={"host": "evil.example"}).status_code == 421
            assert client.get("/models", headers={"host": "mainstay:8080"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("", False), ("no.invalid", False)],
)
def test_who_can_reach_an_address(host: str, expected: bool) -> None:
    assert loopback(host) is expected


def test_http_1_0_without_a_host_is_answered(server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as caller:
        caller.sendall(b"GET /models HTTP/1.0\r\n\r\n")
        assert caller.recv(100).split()[1] == b"200"


@pytest.mark.parametrize("hosts", [["localhost", "localhost"], ["localhost", "evil.example"], ["evil.example", ""]])
@pytest.mark.parametrize("path", ["/predict", "/healthz", "/v2/models/loan/infer"])
def test_two_hosts_are_none(server, path, hosts) -> None:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    with socket.create_connection(("127.0.0.1", server.port), 10) as caller:
        caller.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        said = b""
        while part := caller.recv(4096):
            said += part
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"2 Host headers" in said


SHARED = """
name = "loan"
target = "class"
task = "binary"
[data]
path = "loan.csv"
[columns]
age = "number"
[serve]
hosts = ["ml.example.org"]
origins = ["https://app.example.org"]
"""


def test_the_pages_and_names_of_the_project_file_are_let_in(tmp_path) -> None:
    (tmp_path / "mainstay.toml").write_text(SHARED)
    origin = {"origin": "https://app.example.org", "sec-fetch-site": "cross-site"}
    with serving(tmp_path, ("loan", loan())) as running, running.client() as client:
        asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
        for path in ("/predict", "/v2/models/loan/infer", "/models"):
            allowed = client.options(path, headers={**origin, **asks})
            assert (allowed.status_code, allowed.content) == (204, b"")
            assert allowed.headers["access-control-allow-origin"] == "https://app.example.org"
            assert allowed.headers["access-control-allow-headers"] == "authorization,content-type"
            assert "POST" in allowed.headers["access-control-allow-methods"] and allowed.headers["vary"] == "origin"
        for answered, status in (
            (client.post("/predict", json=ROW, headers=origin), 200),
            (client.post("/predict", json={}, headers=origin), 400),
            (client.post("/predict", content=b"x" * 300_000, headers=origin), 400),
            (client.post("/predict", content=iter([b"{", b"}"]), headers=origin), 400),
            (client.get("/models", headers={**origin, "host": "ml.example.org"}), 200),
        ):
            assert answered.status_code == status
            assert answered.headers["access-control-allow-origin"] == "https://app.example.org"
        assert "access-control-allow-origin" not in client.get("/models").headers
        assert client.get("/models", headers={"host": "other.example.org"}).status_code == 421


@pytest.mark.parametrize("wrong", ['hosts = ["http://a"]', 'origins = ["a.example"]', 'origins = ["https://a/b"]'])
def test_a_host_or_an_origin_that_cannot_be_meant_is_refused(wrong: str) -> None:
    with pytest.raises(ProjectError, match=r"\[serve\] (hosts|origins) names"):
        parse(SHARED.partition("[serve]")[0] + f"[serve]\n{wrong}\n")
