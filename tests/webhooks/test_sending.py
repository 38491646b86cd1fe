"""Who is spoken to, and for how long."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from typing import Any

import pytest

from mainstay.webhooks import addresses
from mainstay.webhooks.addresses import admitted, check_peer, is_public
from mainstay.webhooks.errors import NotDelivered
from mainstay.webhooks.sending import BadWebhookUrl, place_of, send
from mainstay.webhooks.signing import BadSecret, key_of


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::",
    ],
)  # fmt: skip
def test_an_address_that_is_not_on_the_internet_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(NotDelivered, match="no public address"):
        check_peer(address, allow_private=False)
    check_peer(address, allow_private=True)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_on_the_internet_is_admitted(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "[::1]"])
def test_every_spelling_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(NotDelivered):
        admitted(host.strip("[]"), 80, allow_private=False)


def test_a_name_is_resolved_once_and_its_address_is_the_one_connected_to(
    receiving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiving.start()
    asked: list[str] = []
    real = socket.getaddrinfo

    def once(host: Any, port: Any, *words: Any, **more: Any) -> Any:
        if host == "hook.example":
            asked.append(host)
            assert len(asked) == 1, "the name was asked for again"
            host = "127.0.0.1"
        return real(host, port, *words, **more)

    monkeypatch.setattr(addresses.socket, "getaddrinfo", once)
    url = f"http://hook.example:{receiving.port}/x"
    assert send(place_of(url, shown=url, allow_private=True), b"{}", {}) == 204
    assert receiving.heard()[0]["headers"]["host"] == f"hook.example:{receiving.port}"


def test_where_a_connection_leads_is_looked_at_again(receiving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if resolving had been fooled, nothing is sent to a private peer."""
    receiving.start()
    monkeypatch.setattr("mainstay.webhooks.sending.admitted", lambda *a, **k: ["127.0.0.1"])
    place = place_of(f"https://hook.example:{receiving.port}/", shown="", allow_private=False)
    with pytest.raises(NotDelivered, match="connection led to"):
        send(place, b"{}", {})
    assert receiving.heard() == []


@pytest.mark.parametrize("trickle", [False, True])
def test_an_attempt_ends_at_its_deadline_however_slowly_the_answer_comes(trickle: bool) -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                while trickle and not over.wait(0.1):
                    try:
                        peer.sendall(b"HTTP/1.1 200 OK\r\nx: " if not trickle else b"H")
                    except OSError:
                        return
                over.wait(30)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        start = time.monotonic()
        try:
            with pytest.raises(NotDelivered, match=r"no answer"):
                send(place_of(url, shown=url, allow_private=True), b"{}", {}, deadline=0.5)
            assert time.monotonic() - start < 8  # far from the 10 s of silence that a timeout allows
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize(
    "url",
    ["ftp://x/", "http://example.com/", "https://", "https://u:p@example.com/", "https://example.com:x/", "nonsense",
     "file:///etc/passwd", "https://example.com/a b", "https://example.com/\r\nx: y"],
)  # fmt: skip
def test_a_url_that_no_webhook_can_have_is_refused(url: str) -> None:
    with pytest.raises(BadWebhookUrl) as refused:
        place = place_of(url, shown="${URL}", allow_private=False)
        assert "\n" not in place.path  # urlsplit takes line ends out
        raise BadWebhookUrl("${URL}")
    assert "example.com" not in str(refused.value).replace("https://example.com/hook", "")


def test_a_secret_is_utf_8_or_base64_and_of_some_length() -> None:
    assert key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", name="S")[:2] == b"1\xf2"
    assert key_of("x" * 16, name="S") == b"x" * 16
    for bad in ("hunter2", "whsec_%%%", "whsec_c2hvcnQ="):
        with pytest.raises(BadSecret) as refused:
            key_of(bad, name="HOOK_SECRET")
        assert bad not in str(refused.value) and "HOOK_SECRET" in str(refused.value)
