"""Removing blobs from a bucket while others register: what is put meanwhile survives, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mainstay.errors import MainstayError
from mainstay.models.package import EVALUATION
from mainstay.operations.collecting import collect
from mainstay.registry.copying import copy
from mainstay.registry.garbage import HOLD, CollectorRuns, sweep
from mainstay.registry.s3 import S3Blobs
from mainstay.registry.store import Registry
from mainstay.testing.drafts import Clock, draft

LATER = datetime(2100, 1, 1, tzinfo=UTC)
"""Everything is older than this: no grace protects what is registered meanwhile."""
DIES = """
import os, signal, sys
from datetime import UTC, datetime
from mainstay.registry.garbage import sweep
from mainstay.registry.store import Registry
with Registry.open(sys.argv[1], blobs=sys.argv[2]) as registry:
    discard, left = registry.blobs.discard, [int(sys.argv[3])]
    def dies(sha, *, before):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return discard(sha, before=before)
    registry.blobs.discard = dies
    sweep(registry, before=datetime(2100, 1, 1, tzinfo=UTC), dry_run=False)
"""


both = pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the database is: PostgreSQL, unless a test asks for both."""
    if getattr(request, "param", "postgresql") == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return str(tmp_path / ".mainstay")


@pytest.fixture
def registry(place: str, s3_url: str) -> Iterator[Registry]:
    with Registry.open(place, blobs=s3_url) as registry:
        yield registry


@pytest.fixture
def other(place: str, s3_url: str) -> Iterator[Registry]:
    """The same one, as another process has it."""
    with Registry.open(place, blobs=s3_url) as registry:
        yield registry


def add(registry: Registry, graph: str, model: str = "credit") -> None:
    registry.add(model, draft(graph), passed=True, actor="ann", summary={})


def keep(registry: Registry, graph: str) -> None:
    """What a registration leaves that never ended."""
    for data in (*draft(graph).content.values(), *draft(graph).attestations.values()):
        registry.blobs.put(data)


def expect_readable(registry: Registry, versions: int) -> None:
    found = registry.versions(limit=1000)
    for version in found:
        package = registry.package(version)
        assert {name: package.read(name) for name in package.manifest.files}
    assert len(found) == versions


def test_what_nothing_names_goes_and_all_else_stays(registry: Registry) -> None:
    add(registry, "1")
    registry.attest(registry.version("credit"), "audit.txt", b"fine", actor="ann")
    lost = {registry.blobs.put(b"lost"), registry.blobs.put(b"lost too")}
    planned = sweep(registry, before=LATER, dry_run=True)
    assert {each.sha for each in planned.removed} == lost and registry.blobs.has(min(lost))
    assert {each.size for each in planned.removed} == {4, 8}
    young = sweep(registry, before=datetime.now(UTC) - timedelta(hours=1), dry_run=False)
    assert (list(young.removed), {each.sha for each in young.young}) == ([], lost)
    done = sweep(registry, before=LATER, dry_run=False)
    assert {each.sha for each in done.removed} == lost and done.kept == planned.kept == 7
    assert not any(registry.blobs.has(sha) for sha in lost)
    expect_readable(registry, 1)
    assert sweep(registry, before=LATER, dry_run=False).removed == []


def test_only_what_is_under_the_prefix_and_is_named_as_blobs_are_is_looked_at(registry: Registry) -> None:
    blobs = registry.blobs
    assert isinstance(blobs, S3Blobs)
    beside = S3Blobs(f"{blobs.url}-beside")
    sha = beside.put(b"of another registry")
    blobs._store.put("ab/notes.txt", b"somebody's")
    blobs._store.put(f"zz/{sha}", b"not where a blob stands")
    assert sweep(registry, before=LATER, dry_run=False).removed == []
    assert beside.get(sha)
    assert bytes(blobs._store.get("ab/notes.txt").bytes())


@both
def test_the_command_goes_there_too(registry: Registry, place: str, s3_url: str, tmp_path: Path) -> None:
    where = f'blobs = "{s3_url}"\n' + (f'url = "{place}"\n' if "://" in place else "")
    project = f'name = "credit"\ntarget = "y"\ntask = "regression"\n[data]\npath = "a.csv"\n[registry]\n{where}'
    (tmp_path / "mainstay.toml").write_text(f'{project}[columns]\nx = "number"\n')
    registry.blobs.put(b"lost")
    assert collect(tmp_path).young == 1
    done = collect(tmp_path, now=datetime.now(UTC) + timedelta(days=8))
    assert (len(done.removed), done.bytes) == (1, 4)


@both
def test_what_a_registration_has_put_survives_though_it_is_not_named_yet(registry: Registry, other: Registry) -> None:
    put, all_of_them = registry.blobs.put, [*draft().content, *draft().attestations, "the list of the content"]

    def put_and_swept(data: bytes) -> str:
        sha = put(data)
        if all_of_them:  # after them, the registration is alone
            all_of_them.pop()
            sweep(other, before=LATER, dry_run=False)
            assert not registry.blobs.has(sha)
        return sha

    registry.blobs.put = put_and_swept  # type: ignore[method-assign]  # another process is faster each time
    add(registry, "1")
    expect_readable(registry, 1)


def test_what_is_attested_survives_too(registry: Registry, other: Registry) -> None:
    add(registry, "1")
    put = registry.blobs.put

    def put_and_swept(data: bytes) -> str:
        sha = put(data)
        registry.blobs.put = put  # type: ignore[method-assign]
        assert sweep(other, before=LATER, dry_run=False).removed
        return sha

    registry.blobs.put = put_and_swept  # type: ignore[method-assign]
    registry.attest(registry.version("credit"), "audit.txt", b"fine", actor="ann")
    assert registry.package(registry.version("credit")).read("audit.txt") == b"fine"


def test_what_was_named_since_it_was_looked_for_stays(registry: Registry, other: Registry) -> None:
    """Between the look at the names and the removal, a version takes all files that nothing had named."""
    keep(registry, "1")
    write = registry._database.write

    def first_adds():
        if not registry.models():
            add(other, "1")
        return write()

    registry._database.write = first_adds  # type: ignore[method-assign]
    assert sweep(registry, before=LATER, dry_run=False).removed == []
    expect_readable(registry, 1)


@both
def test_registrations_and_removals_side_by_side_lose_nothing(registry: Registry, other: Registry) -> None:
    over, troubles, removed = threading.Event(), list[BaseException](), [0]

    def keep_sweeping() -> None:
        try:
            while not over.is_set():
                removed[0] += len(sweep(other, before=LATER, dry_run=False).removed)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            troubles.append(error)

    thread = threading.Thread(target=keep_sweeping)
    thread.start()
    try:
        for number in range(25):
            keep(registry, f"{number}")
            add(registry, f"{number}")
    finally:
        over.set()
        thread.join()
    assert troubles == []
    assert removed[0] > 0
    expect_readable(registry, 25)


@pytest.mark.parametrize("removed", [0, 2])
def test_killed_in_the_middle_it_does_no_harm_and_goes_on_after_a_minute(
    place: str, s3_url: str, removed: int, tmp_path: Path
) -> None:
    clock = Clock()
    clock.now = datetime.now(UTC)
    with Registry.open(place, blobs=s3_url, clock=clock) as registry:
        add(registry, "1")
        keep(registry, "2")
        for number in range(4):
            registry.blobs.put(b"lost %d" % number)
        there = len(list(registry.blobs.listed()))
        words = [sys.executable, "-c", DIES, place, s3_url, str(removed)]
        assert subprocess.run(words, check=False, env=os.environ.copy()).returncode == -signal.SIGKILL
        assert len(list(registry.blobs.listed())) == there - removed
        with pytest.raises(CollectorRuns, match="try again after"):
            sweep(registry, before=LATER, dry_run=False)
        put, kept = registry.blobs.put, list[str]()

        def forgets(data: bytes) -> str:
            """The removal of the killed one arrives after the registration's own put."""
            sha = put(data)
            kept.append(sha)
            if len(kept) <= 6:
                registry.blobs.discard(sha, before=LATER)
            return sha

        registry.blobs.put = forgets  # type: ignore[method-assign]
        add(registry, "2")
        registry.blobs.put = put  # type: ignore[method-assign]
        assert len(kept) == 12
        expect_readable(registry, 2)
        clock.turn(HOLD.total_seconds() + 60)
        sweep(registry, before=LATER, dry_run=False)
        assert sweep(registry, before=LATER, dry_run=False).removed == []
        expect_readable(registry, 2)


def test_a_copy_into_a_bucket_that_is_swept_meanwhile_is_whole(
    registry: Registry, other: Registry, tmp_path: Path
) -> None:
    with Registry.open(tmp_path / "source") as source:
        for graph in "123":
            add(source, graph)

        def told(done: int, of: int) -> None:
            if done in (5, of):
                assert sweep(other, before=LATER, dry_run=False).removed

        copy(source, registry, told)
        expect_readable(registry, 3)
        assert registry.package(registry.version("credit:2")).read(EVALUATION) == b"good"


def test_a_damaged_list_of_files_ends_it_before_anything_goes(registry: Registry) -> None:
    add(registry, "1")
    lost = registry.blobs.put(b"lost")
    blobs = registry.blobs
    assert isinstance(blobs, S3Blobs)
    blobs._store.put(blobs._key(registry.version("credit").content_id), b"{}")
    with pytest.raises(MainstayError, match="credit:1"):
        sweep(registry, before=LATER, dry_run=False)
    assert blobs.has(lost)
