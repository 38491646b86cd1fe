"""The contract on PostgreSQL, and what is PostgreSQL's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from registry_storm import storm

from mainstay.errors import MainstayError
from mainstay.registry import migrations, postgres, schema
from mainstay.registry.errors import NoRegistry, NotARegistry, RegistryBusy, RegistryNewer
from mainstay.registry.postgres import RegistryAway
from mainstay.registry.s3 import BadBlobs
from mainstay.registry.store import Registry
from mainstay.registry.urls import BadUrl, expanded
from mainstay.testing.drafts import Clock
from mainstay.testing.registry import RegistryContract, add


class TestPostgres(RegistryContract):
    @pytest.fixture
    def registry(self, clock: Clock, postgres_url: str, tmp_path: Path) -> Iterator[Registry]:
        with Registry.open(postgres_url, blobs=tmp_path / "blobs", clock=clock) as registry:
            yield registry


@pytest.fixture
def registry(postgres_url: str, tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(postgres_url, blobs=tmp_path / "blobs") as registry:
        yield registry


@pytest.fixture
def engine(postgres_url: str) -> Iterator[sqlalchemy.Engine]:
    """Past the registry, at the same tables."""
    engine = sqlalchemy.create_engine(expanded(postgres_url, os.environ, where="url").url)
    yield engine
    engine.dispose()


def test_the_migrations_add_up_to_the_schema(registry: Registry, engine: sqlalchemy.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.TABLE})
        assert compare_metadata(context, schema.in_full()) == []


def test_facts_are_there_at_the_next_opening(registry: Registry, postgres_url: str, tmp_path: Path) -> None:
    version = add(registry)
    registry.deploy(version, expecting=None, actor="ada")
    with Registry.open(postgres_url, create=False, blobs=tmp_path / "blobs") as second:
        assert second.version("credit@champion").id == version.id
        assert second.events() == registry.events()


def test_no_registry_is_made_where_one_is_looked_for(postgres_url: str, tmp_path: Path) -> None:
    with pytest.raises(NoRegistry, match=r"\$\{MAINSTAY_TEST_PASSWORD\}"):
        Registry.open(postgres_url, create=False, blobs=tmp_path)


def test_a_newer_schema_is_refused(
    registry: Registry, engine: sqlalchemy.Engine, postgres_url: str, tmp_path: Path
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RegistryNewer, match="9999"):
        Registry.open(postgres_url, blobs=tmp_path)


def test_a_schema_of_something_else_is_left_alone(engine: sqlalchemy.Engine, postgres_url: str, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE invoice (id int)")
    with pytest.raises(NotARegistry, match="another schema"):
        Registry.open(postgres_url, blobs=tmp_path)
    assert sqlalchemy.inspect(engine).get_table_names() == ["invoice"]


def test_openings_that_race_make_one_registry(postgres_url: str, tmp_path: Path) -> None:
    ready = threading.Barrier(6)

    def begin(number: int) -> str:
        ready.wait()
        with Registry.open(postgres_url, blobs=tmp_path) as registry:
            return add(registry, graph=str(number)).ref

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(begin, range(6))) == [f"credit:{number}" for number in range(1, 7)]


def test_a_write_that_fails_leaves_nothing(registry: Registry) -> None:
    with pytest.raises(ZeroDivisionError), registry._database.write() as connection:
        connection.execute(sqlalchemy.update(schema.counter).values(value=7))
        raise ZeroDivisionError
    assert registry.generation() == 0


def test_a_reader_sees_one_state_and_changes_nothing(registry: Registry) -> None:
    add(registry)
    with registry._database.read() as connection:
        seen = sqlalchemy.select(sqlalchemy.func.count()).select_from(schema.version)
        assert connection.execute(seen).scalar_one() == 1
        add(registry, graph="2")
        assert connection.execute(seen).scalar_one() == 1
    with pytest.raises(RegistryAway, match="only be read"), registry._database.read() as connection:
        connection.execute(sqlalchemy.update(schema.counter).values(value=7))


def test_a_registry_that_others_keep_busy_says_so(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_PATIENCE", 1)
    with registry._database.write(), pytest.raises(RegistryBusy, match="let them end"):
        registry.record("note", actor="ada")
    registry.record("note", actor="ada")


def test_a_server_that_was_restarted_is_no_error(registry: Registry, engine: sqlalchemy.Engine) -> None:
    add(registry)
    with engine.connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mainstay'"
        connection.exec_driver_sql(others)
    assert registry.version("credit").number == 1


def test_a_connection_that_breaks_in_a_write_is_told(registry: Registry, engine: sqlalchemy.Engine) -> None:
    with pytest.raises(RegistryAway, match="try again"), registry._database.write() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with engine.connect() as other:
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
        connection.exec_driver_sql("SELECT 1")
    registry.record("note", actor="ada")


def test_a_text_that_postgresql_cannot_keep_is_told(registry: Registry) -> None:
    with pytest.raises(MainstayError, match="NUL"):
        registry.record("note", actor="ada", reason="a\0b")


def test_a_fault_of_the_program_is_not_dressed_up(registry: Registry) -> None:
    with pytest.raises(sqlalchemy.exc.ProgrammingError), registry._database.read() as connection:
        connection.exec_driver_sql("SELECT * FROM nothing")


def test_a_password_stands_in_no_error(postgres_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_PASSWORD", "not it, this one")
    wrong = postgres_server.replace("MAINSTAY_TEST_PASSWORD", "OTHER_PASSWORD")
    if wrong == postgres_server:
        pytest.skip("the server of MAINSTAY_TEST_POSTGRES takes no password from MAINSTAY_TEST_PASSWORD")
    with pytest.raises(RegistryAway) as caught:
        Registry.open(wrong, blobs=tmp_path)
    assert "not it" not in str(caught.value)
    assert "${OTHER_PASSWORD}" in str(caught.value)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RegistryAway, match="does not answer"):
        Registry.open("postgresql://ada@127.0.0.1:1/none", blobs=tmp_path)


def test_a_literal_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadUrl, match="plain text") as caught:
        Registry.open("postgresql://ada:hunter2@127.0.0.1:1/none", blobs=tmp_path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://ada@host/db", "postgresql+asyncpg://ada@host/db", "sqlite:///x.db"])
def test_another_database_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadUrl, match="postgresql"):
        Registry.open(url, blobs=tmp_path)


def test_a_database_without_a_place_for_blobs_is_refused() -> None:
    with pytest.raises(BadBlobs, match="blobs"):
        Registry.open("postgresql://ada@127.0.0.1:1/none")


def test_many_processes_killed_at_random_lose_nothing_and_break_nothing(postgres_url: str, tmp_path: Path) -> None:
    storm(tmp_path, postgres_url, blobs=tmp_path / "blobs")
