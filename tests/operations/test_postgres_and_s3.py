"""A project that moves from this folder to PostgreSQL and S3: every command goes on as before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from loan_projects import changed

import backends
from mainstay.operations.background import background
from mainstay.operations.catalogue import happened, listed, point, shown
from mainstay.operations.copying import SamePlace, moved
from mainstay.operations.deploying import deploy
from mainstay.operations.diffing import diff
from mainstay.operations.home import state_of
from mainstay.operations.loading import load
from mainstay.operations.training import train
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.errors import NoRegistry
from mainstay.registry.local import CACHE
from mainstay.registry.postgres import RegistryAway
from mainstay.registry.urls import BadUrl


@pytest.fixture
def shared(two_versions: Path, postgres_url: str, s3_url: str) -> Path:
    """The project with two versions, moved; nothing of its registry is left in its folder."""
    changed(two_versions, registry={"url": postgres_url, "blobs": s3_url})
    state = state_of(two_versions)
    done = moved(str(state), str(two_versions))
    assert (done.versions, done.sent) == (2, done.blobs)
    shutil.rmtree(state)
    return two_versions


def ask(url: str) -> str:
    """The version that answers."""
    body = json.dumps({"age": 30, "income": 2500.0, "purpose": "car"}).encode()
    with urllib.request.urlopen(f"{url}/predict", body, timeout=30) as answer:
        return json.load(answer)["model"]


def test_every_question_is_answered_as_before(shared: Path) -> None:
    newest, first = listed(shared, "loans", limit=10).versions
    assert (first.version, first.deployed, newest.version) == ("loans:1", True, "loans:2")
    assert shown(shared, "loans@champion").metrics
    assert diff(shared, "loans:1", "loans:2", shared / "loans.csv", slices=None, rows=3)
    assert load(shared, "loans:2").signature.inputs
    assert point(shared, "loans:2", "next", reason="for a trial").before is None
    assert happened(shared, "loans", limit=100).events[-1].kind == "alias_moved"
    assert not state_of(shared).exists()


def test_what_is_deployed_is_served_from_verified_copies(shared: Path) -> None:
    with background(shared) as server:
        assert ask(server.url) == "loans:1"
        assert deploy(shared, "loans:2").servers == 1
        assert ask(server.url) == "loans:2"
    cache = state_of(shared) / CACHE
    graph = FolderBlobs(cache).path({name: sha for name, _, sha in shown(shared, "loans:2").files}["model.onnx"])
    whole = graph.read_bytes()
    graph.unlink()
    graph.write_bytes(b"damaged")
    with background(shared) as server:
        assert ask(server.url) == "loans:2"
    assert graph.read_bytes() == whole


def test_a_training_registers_where_the_project_file_says(shared: Path) -> None:
    assert train(shared).version == "loans:3"
    assert listed(shared, "loans", limit=1).versions[0].version == "loans:3"
    assert not (state_of(shared) / "registry.db").exists()
    assert not (state_of(shared) / "blobs").exists()


def test_it_moves_back_into_a_folder(shared: Path, tmp_path: Path) -> None:
    back = tmp_path / "back" / ".mainstay"
    moved(str(shared), str(back))
    shutil.copytree(back, tmp_path / "laptop" / ".mainstay")
    assert listed(tmp_path / "laptop", None, limit=9) == listed(shared, None, limit=9)


def test_a_registry_is_not_copied_onto_itself(two_versions: Path) -> None:
    for target in (two_versions, state_of(two_versions)):
        with pytest.raises(SamePlace):
            moved(str(two_versions), str(target))


def test_a_copy_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRegistry):
        moved(str(tmp_path / "nothing"), str(tmp_path / "there"))


def test_a_password_in_the_project_file_is_refused(two_versions: Path) -> None:
    changed(two_versions, registry={"url": "postgresql://ada:hunter2@host/db", "blobs": "blobs"})
    with pytest.raises(BadUrl, match=r"\[registry\] url holds a password in plain text") as caught:
        listed(two_versions, None, limit=1)
    assert "hunter2" not in str(caught.value)


def test_the_command_says_what_it_did(two_versions: Path, postgres_url: str, s3_url: str) -> None:
    words = ["registry", "copy", ".", postgres_url, "--to-blobs", s3_url]
    told = subprocess.run(
        [sys.executable, "-m", "mainstay", *words, "--json"],
        cwd=two_versions,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    said = json.loads(told.stdout)
    assert said["versions"] == 2
    assert said["sent"] == said["blobs"] > 0
    changed(two_versions, registry={"url": postgres_url, "blobs": s3_url})
    assert len(listed(two_versions, None, limit=9).versions) == 2


def test_a_server_goes_on_while_the_database_is_away(two_versions: Path, s3_url: str) -> None:
    if os.environ.get("MAINSTAY_TEST_POSTGRES"):
        pytest.skip("the server of MAINSTAY_TEST_POSTGRES is not ours to stop")
    with ExitStack() as later, ExitStack() as database:
        url = database.enter_context(backends.postgres())
        changed(two_versions, registry={"url": url, "blobs": s3_url})
        moved(str(state_of(two_versions)), str(two_versions))
        server = later.enter_context(background(two_versions))
        assert ask(server.url) == "loans:1"
        database.close()
        until = time.monotonic() + 30
        while b"cannot be followed" not in server.log.read_bytes():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert [ask(server.url) for _ in range(20)] == ["loans:1"] * 20
        with pytest.raises(RegistryAway, match="does not answer"):
            listed(two_versions, None, limit=1)
    assert server.process.returncode == 0
