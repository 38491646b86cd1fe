"""`registry copy`: from SQLite to PostgreSQL with S3, and back, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mainstay.models.package import PackageCorrupt
from mainstay.registry import copying
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.copying import CopyDiffers, NotEmpty, SourceMoved, copy
from mainstay.registry.evidence import Evidence
from mainstay.registry.plans import Plan
from mainstay.registry.store import Registry
from mainstay.testing.registry import add

HERE = Path(__file__).parent
DIES = """
import os, signal, sys
from mainstay.registry import copying
from mainstay.registry.store import Registry
source, target, blobs, where = sys.argv[1:]
def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)
def told(done, of):
    if where.isdigit() and done == int(where):
        die()
with Registry.open(source) as one, Registry.open(target, blobs=blobs) as other:
    if where == "rows":
        fill = copying._fill
        copying._fill = lambda *given: die() if given[1].name == "event" else fill(*given)
    copying.copy(one, other, told)
"""


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(tmp_path / "source") as registry:
        first = add(registry)
        second = add(registry, graph="2")
        add(registry, "churn")
        failed = add(registry, graph="3", passed=False)
        registry.attest(first, "approval.json", b"yes", actor="grace")
        registry.point("credit", "live", second, expecting=None, actor="ada", reason="better")
        registry.deploy(first, expecting=None, actor="ada")
        registry.deploy(failed, expecting=first, actor="ada", override=True, reason="a trial")
        registry.deploy_beside(second, expecting=failed, actor="ada", reason="old callers")
        rollout = registry.start_rollout(first, Plan(strategy="canary"), expecting=failed, actor="ada")
        registry.report("a member", Evidence(rollout=rollout.id, deaths=1))
        registry.take_lead("a controller", seen=None)
        registry.keys.create("one", "billing", sha256="a" * 64, rate=5.0, actor="ada")
        registry.keys.create("two", "leaver", sha256="b" * 64, actor="ada")
        registry.keys.revoke("leaver", actor="ada")
        yield registry


@pytest.fixture
def target(postgres_url: str, s3_url: str) -> Iterator[Registry]:
    with Registry.open(postgres_url, blobs=s3_url) as registry:
        yield registry


def expect_the_same(one: Registry, other: Registry) -> None:
    assert other.versions() == one.versions()
    assert other.events(limit=1000) == one.events(limit=1000)
    assert other.deployments() == one.deployments()
    assert other.generation() == one.generation()
    assert other.rollouts() == one.rollouts()
    for rollout in one.rollouts():
        assert other.evidence(rollout.id) == one.evidence(rollout.id)
    assert (other.keys.all(), other.keys.edition()) == (one.keys.all(), one.keys.edition())
    for model in one.models():
        assert other.aliases(model) == one.aliases(model)
    for version in one.versions():
        there, here = other.package(version), one.package(version)
        assert there.manifest == here.manifest
        assert {name: there.read(name) for name in there.manifest.files} == {
            name: here.read(name) for name in here.manifest.files
        }


def test_everything_moves_and_moves_back_unchanged(source: Registry, target: Registry, tmp_path: Path) -> None:
    done = copy(source, target)
    assert (done.versions, done.events) == (4, len(source.events()))
    assert done.sent == done.blobs
    expect_the_same(source, target)
    with Registry.open(tmp_path / "back") as back:
        copy(target, back)
        expect_the_same(source, back)


def test_the_target_goes_on_counting_where_the_source_was(source: Registry, target: Registry) -> None:
    copy(source, target)
    last = target.events(limit=1000)[-1].id
    assert add(target, graph="new").ref == "credit:4"
    assert target.events(limit=1000)[-1].id == last + 1
    champion = target.version("credit@champion")
    deployed = target.deploy(target.version("credit"), expecting=champion, actor="ada")
    assert deployed.generation == source.generation() + 1


def test_a_second_copy_brings_only_what_is_new(source: Registry, target: Registry) -> None:
    copy(source, target)
    assert copy(source, target).sent == 0
    add(source, graph="4")
    # The new model, and the list of the version's files.
    assert copy(source, target).sent == 2
    expect_the_same(source, target)


def test_a_registry_of_its_own_is_not_written_over(source: Registry, target: Registry) -> None:
    add(target, "other")
    before = target.events()
    with pytest.raises(NotEmpty):
        copy(source, target)
    assert target.events() == before


def test_a_target_that_was_used_since_is_not_written_over(source: Registry, target: Registry) -> None:
    copy(source, target)
    add(target, graph="theirs")
    with pytest.raises(NotEmpty):
        copy(source, target)
    assert target.version("credit").number == 4


@pytest.mark.parametrize("where", ["0", "3", "rows"])
def test_killed_anywhere_it_goes_on_where_it_was(
    source: Registry, postgres_url: str, s3_url: str, where: str, tmp_path: Path
) -> None:
    words = [str(tmp_path / "source"), postgres_url, s3_url, where]
    killed = subprocess.run([sys.executable, "-c", DIES, *words], cwd=HERE, check=False, env=os.environ.copy())
    assert killed.returncode == -signal.SIGKILL
    with Registry.open(postgres_url, blobs=s3_url) as target:
        assert target.versions() == []
        assert target.events() == []
        done = copy(source, target)
        assert done.sent == done.blobs - {"0": 0, "3": 3, "rows": done.blobs}[where]
        expect_the_same(source, target)


def test_a_damaged_file_of_the_source_ends_it_before_any_row(source: Registry, target: Registry) -> None:
    assert isinstance(source.blobs, FolderBlobs)
    package = source.package(source.version("credit:2"))
    path = source.blobs.path(package.manifest.content["model.onnx"].sha256)
    path.unlink()
    path.write_bytes(b"0")
    with pytest.raises(PackageCorrupt, match="credit:2"):
        copy(source, target)
    assert target.versions() == []


def test_a_damaged_file_of_the_target_is_sent_again(source: Registry, tmp_path: Path) -> None:
    with Registry.open(tmp_path / "target") as target:
        copy(source, target)
        assert isinstance(target.blobs, FolderBlobs)
        path = target.blobs.path(source.version("credit:1").content_id)
        path.unlink()
        path.write_bytes(b"0")
        assert copy(source, target).sent == 1
        expect_the_same(source, target)


def test_a_source_that_is_used_meanwhile_is_told_and_the_next_copy_is_whole(source: Registry, target: Registry) -> None:
    def told(done: int, of: int) -> None:
        if done == of:
            source.record("note", actor="ada")

    with pytest.raises(SourceMoved, match="again"):
        copy(source, target, told)
    assert len(target.events(limit=1000)) == len(source.events(limit=1000)) - 1
    copy(source, target)
    expect_the_same(source, target)


def test_a_target_that_changes_what_it_is_given_is_found_out(
    source: Registry, target: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = copying._fill

    def loses(connection, table, rows) -> None:
        fill(connection, table, rows[:-1] if table.name == "event" else rows)

    monkeypatch.setattr(copying, "_fill", loses)
    with pytest.raises(CopyDiffers, match="rows"):
        copy(source, target)
