"""`mainstay keys` and `mainstay remote`, typed as people and programs type them."""

from __future__ import annotations

import json
import re
import stat
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from live import serving, until
from subjects import loan

from mainstay.cli.app import run
from mainstay.errors import MACHINE, SAID_NO, WRONG_USE
from mainstay.operations.keys import length_of
from mainstay.operations.remote import VARIABLE
from mainstay.registry.key_text import TEXT, hashed, id_of
from mainstay.registry.keys import BadKeyScope
from mainstay.registry.store import Registry


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs a command in a fresh folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)

    def words(line: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(line.split())
        found = capfd.readouterr()
        return code, found.out, found.err

    return words


def test_a_key_is_printed_alone_and_once(typed, tmp_path: Path) -> None:
    code, out, err = typed("keys create billing --models credit,churn-* --verbs predict --expires 90d --rate 100")
    text = out.strip()
    assert code == 0 and TEXT.fullmatch(text) and "not shown again" in err
    with Registry.open(tmp_path / ".mainstay") as registry:
        [key] = registry.keys.all()
    assert (key.id, key.sha256, key.models, key.burst) == (id_of(text), hashed(text), ("churn-*", "credit"), 100)
    for line in ("keys list", "keys list --json", "events", "events --json"):
        code, out, err = typed(line)
        assert code == 0 and "billing" in out
        assert text[17:] not in out + err and key.sha256 not in out + err


def test_a_key_that_is_written_is_its_owner_s_alone(typed, tmp_path: Path) -> None:
    code, out, err = typed("keys create admin --verbs manage --output admin.key")
    assert code == 0 and not re.search(r"msk_", out + err)
    file = tmp_path / "admin.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and TEXT.fullmatch(file.read_text().strip())
    code, _, err = typed("keys create other --output admin.key")
    assert code == WRONG_USE and "not overwritten" in err
    assert json.loads(typed("keys list --json")[1])["keys"][0]["name"] == "admin"
    typed("keys create admin --output twice.key")
    assert not (tmp_path / "twice.key").exists()


def test_a_key_is_rotated_revoked_and_forgotten(typed) -> None:
    _, first, err = typed("keys create billing")
    first = first.strip()
    assert "answer nobody without one" in err and "answer nobody" not in typed("keys create another")[2]
    code, out, err = typed("keys rotate billing --grace 12h")
    assert code == 0 and id_of(out.strip()) == id_of(first) and "goes on until" in err
    assert json.loads(typed("keys rotate billing --grace 0 --json")[1])["key"].startswith("msk_")
    assert typed("keys revoke billing --reason gone")[0] == 0
    code, _, err = typed("keys rotate billing")
    assert code == WRONG_USE and "no key 'billing'" in err
    assert "revoked" in typed("keys list")[1]
    assert "answer everybody" not in typed("keys forget billing")[1]
    assert typed("keys revoke another")[0] == 0
    assert "answer everybody again" in typed("keys forget another")[1]
    assert json.loads(typed("keys list --json")[1]) == {"keys": []}


def test_lengths_of_time() -> None:
    assert [length_of(text).total_seconds() for text in ("30m", "12h", "90d", "2w")] == [1800, 43200, 7776000, 1209600]
    for wrong in ("", "90", "0d", "-1d", "1y", "1.5h", "9999999d"):
        with pytest.raises(BadKeyScope):
            length_of(wrong)


@pytest.mark.parametrize("line", ["--verbs write", "--models a/b", "--rate 0", "--expires soon", "--burst 2"])
def test_what_cannot_be_meant_makes_no_key(typed, line: str) -> None:
    assert typed(f"keys create x {line} --output x.key")[0] == WRONG_USE
    assert not Path("x.key").exists()


def test_a_server_of_another_machine_is_changed_with_a_key_from_a_file(typed, tmp_path: Path) -> None:
    with serving(tmp_path, ("loan", loan())) as running, running.client() as client:
        at = running.url
        assert "loan" in typed(f"remote models {at}")[1]
        code, _, err = typed(f"remote unload {at} loan")
        assert code == SAID_NO and "takes an API key" in err
        typed("keys create admin --verbs read,manage --output admin.key")
        until(lambda: client.get("/models").status_code == 401)
        assert typed(f"remote models {at}")[0] == SAID_NO
        assert json.loads(typed(f"remote models {at} --key-file admin.key --json")[1])["models"][0]["name"] == "loan"
        code, out, _ = typed(f"remote unload {at} loan --key-file admin.key")
        assert code == 0 and "no longer serves loan" in out
        with Registry.open(tmp_path / ".mainstay") as registry:
            assert registry.deployments() == []
            assert registry.latest_events("loan")[0].actor == "admin"
        assert typed(f"remote load {at} loan --key-file admin.key")[0] == 0
        Path("admin.key").chmod(0o640)
        code, _, err = typed(f"remote load {at} loan --key-file admin.key")
        assert code == WRONG_USE and "chmod 600" in err


def test_a_key_is_shown_to_nobody_but_the_server_that_was_named(typed, monkeypatch) -> None:
    typed("keys create admin --verbs manage --output admin.key")
    monkeypatch.setenv(VARIABLE, "admin.key")
    code, _, err = typed("remote load http://192.0.2.1:8080 credit")
    assert code == WRONG_USE and "in the clear" in err
    heard: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.path)
            self.send_response(307)
            self.send_header("location", f"http://127.0.0.1:{server.server_port}/stolen")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *given: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        code, _, err = typed(f"remote load http://127.0.0.1:{server.server_port} credit")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert code == SAID_NO and "status 307" in err
    assert heard == ["/v2/repository/models/credit/load"]
    assert typed(f"remote load http://127.0.0.1:{server.server_port} credit")[0] == MACHINE


@pytest.mark.parametrize("url", ["ml.example.org", "ftp://a", "http://", "http://user:secret@127.0.0.1"])
def test_what_is_no_url_of_a_server_is_refused(typed, url: str) -> None:
    assert typed(f"remote models {url}")[0] == WRONG_USE


def test_a_file_that_holds_no_key_is_refused(typed, tmp_path: Path) -> None:
    (tmp_path / "junk").touch(0o600)
    for name, why in (("junk", "no API key"), ("nothing", "cannot be read")):
        code, _, err = typed(f"remote models http://127.0.0.1:9 --key-file {name}")
        assert code == WRONG_USE and why in err
