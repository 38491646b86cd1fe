"""https: a real server with a certificate, asked by clients that check it."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
import time
import warnings
from pathlib import Path

import httpx
import pytest
from certificates import pair
from live import answers, serving, until
from subjects import GOOD, ROW, loan

from mainstay.operations import keys
from mainstay.operations.serving import serve
from mainstay.serving.tls import BadCertificate, Tls, loose

SETTINGS = 4
"""Type of the first frame of HTTP/2."""


def test_https_is_spoken_to_who_checks_and_plain_http_is_not(tmp_path: Path) -> None:
    files = pair(tmp_path)
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key), "--workers", "2")
    trust = ssl.create_default_context(cafile=files.authority)
    with serving(tmp_path, ("loan", loan()), options=options, verify=trust) as running:
        assert running.url.startswith("https://127.0.0.1:")
        key = keys.create(tmp_path, "billing").key
        for name in ("127.0.0.1", "localhost"):
            with httpx.Client(base_url=f"https://{name}:{running.port}", verify=trust, timeout=30) as client:
                assert client.get("/healthz").status_code == 200
                client.headers["authorization"] = f"Bearer {key}"
                until(lambda: client.get("/models").status_code == 200)
                reply = client.post("/predict", json=ROW)
                assert reply.json()["probabilities"]["good"] == pytest.approx(GOOD)
                assert client.post("/predict", content=b"x" * 1_000_000).status_code == 400
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{running.url}/healthz")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://127.0.0.1:{running.port}/healthz")
        assert spoken(running.port, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        assert spoken(running.port, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        with pytest.raises(ssl.SSLError):
            spoken(running.port, ssl.TLSVersion.TLSv1_1)
        assert all(str(files.key) in " ".join(worker.cmdline()) for worker in running.workers())  # the path, no secret
        assert "PRIVATE" not in running.log.read_text()


def test_a_renewed_certificate_is_shown_without_a_restart_and_nobody_is_refused(tmp_path: Path) -> None:
    files, renewed = pair(tmp_path), pair(tmp_path, "renewed")
    both = tmp_path / "both.pem"
    both.write_bytes(files.authority.read_bytes() + renewed.authority.read_bytes())
    trust, only_new = (ssl.create_default_context(cafile=each) for each in (both, renewed.authority))
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key), "--workers", "2")
    options += ("--grpc-port", "0")
    over, seen, lock = threading.Event(), [], threading.Lock()
    with serving(tmp_path, ("loan", loan()), options=options, verify=trust) as running:
        before = {worker.pid for worker in running.workers()}

        def ask() -> None:
            with httpx.Client(base_url=running.url, verify=trust, timeout=30) as client:
                while not over.is_set():
                    code = client.post("/predict", json=ROW).status_code
                    with lock:
                        seen.append(code)

        def shown_to_all() -> bool:
            for _ in range(12):  # each on a connection of its own, so that both workers are met
                try:
                    httpx.get(f"{running.url}/healthz", verify=only_new, timeout=10)
                    assert http2_of(running.grpc, renewed.authority) == ("h2", SETTINGS)
                except (httpx.ConnectError, ssl.SSLCertVerificationError):
                    return False
            return True

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            assert not shown_to_all()
            assert http2_of(running.grpc, both) == ("h2", SETTINGS)
            files.key.write_bytes(renewed.key.read_bytes())  # for a moment, the two do not belong together
            time.sleep(1.5)
            assert not shown_to_all()
            files.certificate.write_bytes(renewed.certificate.read_bytes())
            until(shown_to_all)
            count = len(seen)
            until(lambda: len(seen) > count + 50)
        finally:
            over.set()
            for caller in callers:
                caller.join()
        assert set(seen) == {200}
        assert {worker.pid for worker in running.workers()} == before
        log = running.log.read_text()
        assert "is shown as it is now" in log and "the key is not that of the certificate" in log


def test_a_worker_that_starts_while_files_are_replaced_waits_until_they_belong_together(tmp_path: Path) -> None:
    files, other = pair(tmp_path), pair(tmp_path, "other")
    key = files.key.read_bytes()
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    trust = ssl.create_default_context(cafile=files.authority)
    with serving(tmp_path, ("loan", loan()), options=options, verify=trust) as running:
        [worker] = running.workers()
        files.key.write_bytes(other.key.read_bytes())
        worker.kill()
        until(lambda: "A worker waits for its certificate" in running.log.read_text())
        [replaced] = running.workers()
        files.key.write_bytes(key)
        until(lambda: answers(running.url, trust))
        assert running.workers() == [replaced] != [worker]


def http2_of(address: str, authority: Path) -> tuple[str | None, int]:
    """The protocol agreed on at the port of gRPC, and the type of the first frame."""
    host, _, port = address.rpartition(":")
    trust = ssl.create_default_context(cafile=authority)
    trust.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), 10) as plain,
        trust.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        wrapped.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]))
        return wrapped.selected_alpn_protocol(), wrapped.recv(9)[3]


def spoken(port: int, version: ssl.TLSVersion) -> str | None:
    """The version that is agreed on by a client that knows no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that 1.1 is one of the past is what is tested
        context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        return wrapped.version()


def test_a_pair_that_is_right_is_taken(tmp_path: Path) -> None:
    for kind in ("ec", "rsa"):
        files = pair(tmp_path, kind, kind=kind)
        Tls(files.certificate, files.key).check()
        assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


def test_files_that_no_server_can_use_are_refused(tmp_path: Path) -> None:
    one, other = pair(tmp_path, "one"), pair(tmp_path, "other")
    sealed = pair(tmp_path, "sealed", password=b"x")
    junk = tmp_path / "junk"
    junk.touch(0o600)
    for certificate, key, why in (
        (one.certificate, other.key, "the key is not that of the certificate"),
        (one.certificate, pair(tmp_path, "rsa", kind="rsa").key, "the key is not that of the certificate"),
        (one.certificate, sealed.key, "encrypted"),
        (one.certificate, junk, "no PEM"),
        (junk, one.key, "no PEM"),
        (tmp_path / "nothing", one.key, "nothing cannot be read"),
        (one.certificate, tmp_path, "Is a directory"),
    ):
        with pytest.raises(BadCertificate, match=why):
            Tls(certificate, key).check()
    one.key.chmod(0o644)
    with pytest.raises(BadCertificate, match="chmod 600"):
        Tls(one.certificate, one.key).check()


@pytest.mark.parametrize(
    ("mode", "by_root", "expected"),
    [
        (0o600, False, False),
        (0o100600, False, False),
        (0o440, False, True),
        (0o644, False, True),
        (0o400, True, False),
        (0o640, True, False),
        (0o604, True, True),
        (0o660, True, True),
    ],
)
def test_a_key_is_its_server_s_alone(mode: int, by_root: bool, expected: bool) -> None:
    assert loose(mode, by_root=by_root) is expected


def test_a_server_with_half_a_certificate_does_not_start(tmp_path: Path) -> None:
    files = pair(tmp_path)
    for given in ({"tls_cert": files.certificate}, {"tls_key": files.key}):
        with pytest.raises(BadCertificate, match="go together"):
            serve(tmp_path, host=None, port=0, workers=None, trust=None, **given)
