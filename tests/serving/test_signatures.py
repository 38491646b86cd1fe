"""Only what somebody vouches for is loaded, where the operator asks for that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from live import serving, until
from subjects import double

from mainstay.cli.app import run
from mainstay.models import signing
from mainstay.models.golden import Golden
from mainstay.models.package import GOLDEN, SIGNATURE, Draft, encoded
from mainstay.models.signing import BadKey, NotSigned, require
from mainstay.operations.deploying import deploy
from mainstay.operations.loading import load
from mainstay.operations.operator import BadOperatorFile, operator_of
from mainstay.operations.signing import keygen, sign
from mainstay.registry.errors import AttestationExists
from mainstay.registry.store import Registry, utc_now


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """double:1 is registered; key.pem and other.pem are keys."""
    monkeypatch.delenv("MAINSTAY_OPERATOR", raising=False)
    with Registry.open(tmp_path / ".mainstay") as registry:
        registry.add("double", double(), passed=True, actor="ann", summary={})
    return tmp_path


def asked(folder: Path, *keys: str) -> None:
    text = f"require_signed_by = {json.dumps(keys)}\n"
    (folder / ".mainstay" / "operator.toml").write_text(text)


def test_nothing_unsigned_is_loaded_or_deployed_where_the_operator_asks(folder: Path) -> None:
    mine, other = keygen(folder / "key.pem"), keygen(folder / "other.pem")
    load(folder, "double:1")
    asked(folder, mine.public_key)
    for refused in (lambda: load(folder, "double:1"), lambda: deploy(folder, "double:1")):
        with pytest.raises(NotSigned, match="mainstay sign double:1"):
            refused()
    sign(folder, "double:1", folder / "other.pem")
    with pytest.raises(NotSigned, match="it is signed by ed25519:"):
        load(folder, "double:1")
    sign(folder, "double:1", folder / "key.pem")
    load(folder, "double:1")
    assert deploy(folder, "double:1").version == "double:1"
    asked(folder, other.public_key, mine.public_key)
    load(folder, "double:1")


def test_signing_twice_is_signing_once(folder: Path) -> None:
    keygen(folder / "key.pem")
    assert sign(folder, "double:1", folder / "key.pem") == sign(folder, "double:1", folder / "key.pem")
    with Registry.open(folder / ".mainstay") as registry:
        assert [event.kind for event in registry.latest_events("double")].count("attested") == 1


@pytest.mark.parametrize("wrong", ["model", "content", "signature", "key", "nonsense"])
def test_a_signature_of_anything_else_vouches_for_nothing(folder: Path, wrong: str) -> None:
    key, other = signing.new_key(), signing.new_key()
    public = signing.public_key_of(key)
    with Registry.open(folder / ".mainstay") as registry:
        version = registry.version("double:1")
        model = "triple" if wrong == "model" else "double"
        content = "0" * 64 if wrong == "content" else version.content_id
        signed = signing.sign(other if wrong == "key" else key, model, content, at=utc_now(), actor="eve")
        said = json.loads(encoded(signed))
        # It says of itself whatever would serve it best.
        said |= {"model": "double", "content_id": version.content_id, "public_key": public}
        if wrong == "signature":
            said["signature"] = "AAAA" + said["signature"][4:]
        data = b"{" if wrong == "nonsense" else json.dumps(said).encode()
        registry.attest(version, signing.file_of(public), data, actor="eve")
        package = registry.package(version)
        require(package, "double", "double:1", [])
        with pytest.raises(NotSigned):
            require(package, "double", "double:1", [public])


def test_no_attestation_stands_in_for_a_file_of_the_content(folder: Path) -> None:
    with Registry.open(folder / ".mainstay") as registry:
        version = registry.version("double:1")
        before = registry.package(version).read(SIGNATURE)
        with pytest.raises(AttestationExists):
            registry.attest(version, SIGNATURE, b"{}", actor="eve")
        assert registry.package(version).read(SIGNATURE) == before


def test_the_operator_is_the_one_that_the_environment_names_and_is_never_loosened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = keygen(folder / "key.pem").public_key
    elsewhere = folder / "elsewhere.toml"
    monkeypatch.setenv("MAINSTAY_OPERATOR", str(elsewhere))
    with pytest.raises(BadOperatorFile, match="does not exist"):
        load(folder, "double:1")
    elsewhere.write_text(f'require_signed_by = ["{public}"]')
    asked(folder)  # what stands in the project's state says nothing then
    assert operator_of(folder).require_signed_by == (public,)
    for text, error in [
        ("require_signed_by = []", BadOperatorFile),
        ("requires_signed_by = ['x']", BadOperatorFile),
        ("require_signed_by = 'x'", BadOperatorFile),
        ("require_signed_by = ['ed25519:AAAA']", BadKey),
        ("require_signed_by = ['nonsense']", BadKey),
        ("=", BadOperatorFile),
    ]:
        elsewhere.write_text(text)
        with pytest.raises(error):
            load(folder, "double:1")


def test_a_server_refuses_what_is_not_signed_and_says_so(folder: Path) -> None:
    mine = keygen(folder / "key.pem")
    deploy(folder, "double:1")  # before the operator asked
    asked(folder, mine.public_key)
    with serving(folder) as server:
        assert "is not signed" in server.settled("double")["double"]
        with server.client() as client:
            assert client.get("/models/double").status_code == 503
            sign(folder, "double:1", folder / "key.pem")  # is seen without anybody's help
            until(lambda: client.get("/models/double").status_code == 200)
        assert server.settled("double") == {}


def test_a_running_server_obeys_what_the_operator_writes_and_is_loosened_by_nothing(folder: Path) -> None:
    mine, other = keygen(folder / "key.pem"), keygen(folder / "other.pem")
    deploy(folder, "double:1")
    sign(folder, "double:1", folder / "other.pem")
    operator = folder / ".mainstay" / "operator.toml"
    with serving(folder) as server, server.client() as client:

        def status() -> int:
            return client.get("/models/double").status_code

        assert status() == 200
        asked(folder, other.public_key)
        until(lambda: "routed" in server.log.read_text())
        operator.write_text("require_signed_by = [")  # half written
        refused = server.add("second", double())
        until(lambda: f"{refused} is not loaded" in server.log.read_text())
        assert status() == 200  # it was admitted; what cannot be understood changes nothing for it
        asked(folder, mine.public_key)
        until(lambda: status() == 503)
        operator.unlink()  # does not loosen it
        until(lambda: "asked for signatures, and does not any more" in server.log.read_text())
        assert status() == 503
        asked(folder, mine.public_key)
        sign(folder, "double:1", folder / "key.pem")
        until(lambda: status() == 200)
        assert client.get("/models/second").status_code == 503


def test_a_version_that_is_not_signed_leaves_the_one_before_answering_while_that_is_signed(folder: Path) -> None:
    mine, other = keygen(folder / "key.pem"), keygen(folder / "other.pem")
    sign(folder, "double:1", folder / "key.pem")
    asked(folder, mine.public_key)
    deploy(folder, "double:1")
    with serving(folder) as server, server.client() as client:
        golden = encoded(Golden(rows=[{"x": 1.0}], values=[2.0]))
        server.add("double", Draft({**double().content, GOLDEN: golden}, double().attestations))
        assert "double:2 is not signed" in server.settled("double")["double"]
        assert client.get("/models/double").json()["version"] == 1
        asked(folder, other.public_key)
        until(lambda: client.get("/models/double").status_code == 503)


def test_the_commands(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    assert run(["keygen", "--output", "key.pem"]) == 0
    public = capsys.readouterr().out.splitlines()[-1]
    assert public.startswith("ed25519:")
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    assert run(["keygen", "--output", "key.pem"]) == 2
    capsys.readouterr()
    assert run(["sign", "double:1", "--key", "key.pem", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["public_key"] == public
    (folder / "bad.pem").write_text("no key")
    assert run(["sign", "double:1", "--key", "bad.pem"]) == 2
    assert run(["sign", "double:1", "--key", "none.pem"]) == 2
