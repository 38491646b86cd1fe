"""Names and paths that lead out of their place, by every spelling that bypassed a fix elsewhere, are refused.

CVE-2023-3765, -6831, -6909, -6977, CVE-2024-1483, -1558, -1560, -1593, -1594, -3848 of MLflow: the fixes looked for a
pattern, and the next attack spelled it otherwise. Here a name has a strict grammar, and a path is checked where it
leads.
"""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mainstay
from mainstay.cli.app import run
from mainstay.errors import MainstayError
from mainstay.models.package import Draft, FileEntry, Manifest, Package
from mainstay.registry import refs
from mainstay.registry.blobs import FolderBlobs

OUT = [
    "../secret",
    "..",
    ".",
    "a/../../secret",
    "/etc/passwd",
    "//etc/passwd",
    "..\\secret",
    "C:\\secret",
    "%2e%2e/secret",
    "%2e%2e%2fsecret",
    "%252e%252e%252fsecret",
    "..%c0%afsecret",
    "..;/secret",
    "a;/../secret",
    "a#/../secret",
    "a?/../secret",
    "file:///etc/passwd",
    "http://127.0.0.1/secret",
    "~/secret",
    "$HOME",
    "a\0b",
    "a\nb",
    "a b",
    "-rf",
    "",
    "A",
    "\u2025/secret",  # a two dot leader
    "a\u200bb",
    "\uff0e\uff0e/secret",  # full-width dots
    "a" * 64,
    "nul:",
]


@pytest.mark.parametrize("name", OUT)
def test_no_model_version_or_alias_has_such_a_name(name, tmp_path):
    for reads in (refs.model_name, refs.alias_name):
        with pytest.raises(refs.BadName):
            reads(name)
    for text in (f"{name}:1", f"credit@{name}", f"{name}@champion"):
        with pytest.raises(refs.BadName):
            refs.parse(text)
    with pytest.raises(MainstayError):
        mainstay.register(tmp_path / "model.onnx", name=name, folder=tmp_path)
    with pytest.raises(MainstayError):
        mainstay.load(f"{name}:1", folder=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name != ".mainstay"]


@given(st.text(max_size=80))
def test_what_passes_as_a_name_is_one_plain_part_of_a_path(text):
    try:
        name = refs.model_name(text)
    except refs.BadName:
        return
    assert name.isascii()
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789_-")


@pytest.mark.parametrize("words", [["show", "../x:1"], ["deploy", "a/b:1"], ["alias", "set", "credit:1", "../x"]])
def test_the_command_line_refuses_them(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(words) != 0
    assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*OUT, "a/b", "MODEL.JSON", ".hidden"])
def test_no_file_of_a_package_has_such_a_name(name):
    if name == "a" * 64:
        return  # long for a model, not for a file
    with pytest.raises(MainstayError):
        Draft({name: b""}).manifest()


@pytest.mark.parametrize("sha", [*OUT, "0" * 63, "0" * 65, "G" * 64, "../" + "0" * 61, "0" * 64 + "\n"])
def test_no_blob_is_named_by_anything_but_a_hash(sha, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    blobs = FolderBlobs(tmp_path / "blobs")
    with pytest.raises((KeyError, OSError)):
        blobs.get(sha)
    assert not blobs.has(sha)
    manifest = Manifest(content={"model.json": FileEntry(sha, 6)}, attestations={})
    with pytest.raises(MainstayError):
        Package(manifest, blobs.get).read("model.json")


@pytest.fixture(scope="module")
def server():
    import numpy as np
    from sklearn.linear_model import LinearRegression

    X = np.random.default_rng(0).normal(size=(60, 2))
    with mainstay.serve(LinearRegression().fit(X, X[:, 0]), X) as url:
        yield url


SPELLED = [
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/%252e%252e%252fetc%252fpasswd",
    "/models/..%2f..%2f/etc/passwd",
    "/models/../../etc/passwd/predict",
    "/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/models/model;/../../etc/passwd",
    "/models/model%23/../../etc/passwd",
    "/models/model%00.json",
    "/models//predict",
    "/app.js/../../server.js",
    "/..;/..;/etc/passwd",
    "/docs/..%5c..%5cserver.py",
]


@pytest.mark.parametrize("path", SPELLED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_address_reads_a_file(server, path, method):
    url = httpx.URL(server).copy_with(raw_path=path.encode())
    answer = httpx.request(method, url, content=b"{}" if method == "POST" else None)
    assert answer.status_code in (400, 404, 405)
    assert "root:" not in answer.text
    assert "Traceback" not in answer.text
