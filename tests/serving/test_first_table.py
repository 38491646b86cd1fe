"""The table that workers begin with, read without the registry's code, is the one that the agent would write."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from live import serving
from msgspec import structs
from subjects import loan

from mainstay.operations import serving as operation
from mainstay.registry.plans import Plan
from mainstay.registry.store import Registry
from mainstay.serving.access import read_grants
from mainstay.serving.agent import Agent, Backing
from mainstay.serving.first_table import first_table
from mainstay.serving.launch import Allowed
from mainstay.serving.routing import read_table

SOON = datetime.now(UTC) + timedelta(hours=1)


def deployed(registry: Registry, *, model: str = "loan", shift: float = 0.0):
    version = registry.add(model, loan(shift=shift), passed=True, actor="test", summary={})
    registry.deploy(version, expecting=None, actor="test")
    return version


def of_the_agent(root: Path, run: Path):
    """The first table of an agent, but for its socket; and what it tells of keys."""
    run.mkdir(parents=True)
    with Registry.open(root) as registry:
        backing = Backing(registry=registry, allowed=lambda: Allowed(environments=run))
        agent = Agent(backing, run, root / "cache", url="", human=False, timeout=9, log=lambda *_, **__: None)
        agent.step()
        agent.close()
    table = read_table(run)
    assert table is not None
    return structs.replace(table, control=None), read_grants(run)


def test_it_is_the_one_that_the_agent_would_write(tmp_path):
    root = tmp_path / "state"
    with Registry.open(root) as registry:
        stable = deployed(registry)
        other = registry.add("loan", loan(shift=0.5), passed=True, actor="test", summary={"auc": 0.5})
        registry.deploy_beside(other, expecting=stable, actor="test")
        registry.attest(other, "note.json", b"{}", actor="test")
        registry.point("loan", "shadow", other, expecting=None, actor="test")
        deployed(registry, model="car")
        unserved = registry.add("unserved", loan(), passed=True, actor="test", summary={})
        registry.point("unserved", "best", unserved, expecting=None, actor="test")
        registry.keys.create("a" * 12, "ann", sha256="1" * 64, actor="test", expires_at=SOON)
        slow = registry.keys.create("b" * 12, "bob", sha256="2" * 64, actor="test", rate=5.0, models=["loan", "c-*"])
        registry.keys.rotate(slow, sha256="3" * 64, grace=timedelta(minutes=5), actor="test")
        registry.keys.create("c" * 12, "cal", sha256="4" * 64, actor="test", rate=0.5, verbs=["manage"])
        registry.keys.create("d" * 12, "dan", sha256="5" * 64, actor="test")
        registry.keys.revoke("dan", actor="test")
    first = first_table(root)
    assert first is not None
    assert set(first.table.versions) == {"loan:1", "loan:2", "car:1"}
    assert first.grants.closed
    assert len(first.grants.grants) == 3
    assert (first.table, first.grants) == of_the_agent(root, tmp_path / "run" / "x")


def test_an_empty_registry_has_one_too(tmp_path):
    root = tmp_path / "state"
    Registry.open(root).close()
    first = first_table(root)
    assert first is not None
    table, grants = of_the_agent(root, tmp_path / "run" / "x")
    # Before anything was deployed, the agent's table says what it begins with.
    assert (first.table, first.grants) == (table, grants)
    assert not first.grants.closed


def rolling(root: Path) -> None:
    with Registry.open(root) as registry:
        stable = deployed(registry)
        other = registry.add("loan", loan(shift=0.5), passed=True, actor="test", summary={})
        registry.start_rollout(other, Plan(strategy="shadow", steps=(100,)), expecting=stable, actor="test")


def changed(root: Path, statement: str) -> None:
    with Registry.open(root) as registry:
        deployed(registry)
    with closing(sqlite3.connect(root / "registry.db")) as connection:
        assert connection.execute(statement).rowcount == 1
        connection.commit()


def in_a_host(root: Path) -> None:
    changed(root, "UPDATE version SET format = 'skops'")


def of_another_schema(root: Path) -> None:
    changed(root, "UPDATE alembic_version SET version_num = '9999'")


def damaged(root: Path) -> None:
    with Registry.open(root) as registry:
        version = deployed(registry)
        path = root / "blobs" / version.content_id[:2] / version.content_id
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")


def no_database(root: Path) -> None:
    root.mkdir()
    (root / "registry.db").write_bytes(b"no database")


@pytest.mark.parametrize("made", [rolling, in_a_host, of_another_schema, damaged, no_database, Path.mkdir])
def test_what_is_not_ordinary_is_left_to_the_agent(tmp_path, made):
    made(tmp_path / "state")
    assert first_table(tmp_path / "state") is None


def test_it_is_read_where_nobody_but_the_project_has_a_say(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(operation, "supervise", lambda *_, first, **__: given.append(first))
    folder = tmp_path / "p"
    Registry.open(folder / ".mainstay").close()

    def began(**more) -> bool:
        options = {"host": None, "port": 0, "workers": None, "trust": None} | more
        operation.serve(folder, **options)
        return given.pop() is not None

    assert began()
    assert not began(trust=tmp_path / "types.txt")
    monkeypatch.setenv("MAINSTAY_OPERATOR", str(tmp_path / "elsewhere.toml"))
    assert not began()
    monkeypatch.delenv("MAINSTAY_OPERATOR")
    operators = folder / ".mainstay" / "operator.toml"
    operators.write_text("")
    assert not began()
    operators.unlink()
    text = 'name = "p"\ntarget = "t"\ntask = "regression"\n[data]\npath = "d.csv"\n[columns]\nx = "number"\n'
    (folder / "mainstay.toml").write_text(text)
    assert began()
    for said in ('blobs = "kept"', 'url = "postgresql://u@localhost/x"\nblobs = "kept"'):
        (folder / "mainstay.toml").write_text(f"{text}[registry]\n{said}\n")
        assert not began()


def test_a_server_that_began_with_it_follows_the_registry(tmp_path):
    with serving(tmp_path, ("loan", loan())) as server:
        said = server.log.read_text()
        assert '"kind":"routed"' in said
        (run,) = (tmp_path / ".mainstay" / "run").iterdir()
        table = read_table(run)
        assert table is not None
        assert (table.edition, table.generation) == (2, 1)  # the agent's, after the first one
        assert table.control is not None
        server.add("loan", loan(shift=0.5))
        assert server.settled("loan") == {}
