from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from mainstay.errors import MachineError
from mainstay.registry import database, migrations, schema
from mainstay.registry.database import Database
from mainstay.registry.errors import NoRegistry, NotARegistry, RegistryBusy, RegistryCorrupt, RegistryNewer
from mainstay.registry.store import Registry
from mainstay.testing.registry import add

OPENS = """
import sys, time
from pathlib import Path
from mainstay.registry.store import Registry
while time.time() < float(sys.argv[2]):
    pass
with Registry.open(Path(sys.argv[1])) as registry:
    assert registry.generation() == 0
"""
OPENS_WITHOUT_ALEMBIC = """
import sys
from pathlib import Path
from mainstay.registry.store import Registry
with Registry.open(Path(sys.argv[1]), create=False) as registry:
    registry.models()
sys.exit("alembic" in sys.modules)
"""
DIES_MIGRATING = """
import os, signal, sys
from pathlib import Path
from mainstay.registry import migrations
from mainstay.registry.store import Registry
upgrade = migrations.upgrade
def dies(connection):
    upgrade(connection)
    os.kill(os.getpid(), signal.SIGKILL)
migrations.upgrade = dies
Registry.open(Path(sys.argv[1]))
"""
READS_AS_NOBODY = """
import os, sys
from pathlib import Path
from mainstay.errors import MachineError
from mainstay.models.package import encoded
from mainstay.registry.blobs import FolderBlobs
from mainstay.registry.locks import train_lock
from mainstay.registry.store import Registry
import sqlalchemy.dialects.sqlite
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
root = Path(sys.argv[1])
def refused(call):
    try:
        call()
    except MachineError as error:
        print(type(error).__name__, error)
    else:
        sys.exit("it was not refused")
with Registry.open(root) as registry:
    refused(lambda: registry.attest(registry.version("credit"), "note", b"new", actor="nobody"))
refused(lambda: Registry.open(root / "nothing" / "here"))
refused(lambda: FolderBlobs(root / "blobs").put(b"new"))
refused(lambda: train_lock(root).__enter__())
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Registry.open(tmp_path / ".mainstay") as registry:
        add(registry)
    return tmp_path / ".mainstay"


def test_the_migrations_add_up_to_the_schema(root: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    opened = Database.open(root, create=False)
    with opened.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.in_full()) == []
    opened.close()


def test_every_revision_is_known_in_order() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert tuple(revision.revision for revision in script.walk_revisions())[::-1] == migrations.REVISIONS


def test_what_was_acknowledged_is_on_the_disk_and_names_only_what_exists(root: Path) -> None:
    opened = Database.open(root, create=False)
    with opened.read() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    opened.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_a_write_takes_the_lock_before_it_reads(root: Path) -> None:
    opened = Database.open(root, create=False)
    with opened.write() as connection:
        connection.execute(text("SELECT 1"))
        other = sqlite3.connect(root / "registry.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM version").fetchone() == (1,)
        other.close()
    opened.close()


def test_a_write_that_fails_leaves_nothing(root: Path) -> None:
    opened = Database.open(root, create=False)
    with pytest.raises(ZeroDivisionError), opened.write() as connection:
        connection.execute(text("DELETE FROM event"))
        raise ZeroDivisionError
    with opened.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM event")).scalar_one() == 1
    opened.close()


def test_a_fault_of_the_program_is_not_dressed_up(root: Path) -> None:
    opened = Database.open(root, create=False)
    with pytest.raises(Exception, match="no such table: nowhere"), opened.read() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    opened.close()


def test_a_registry_that_others_keep_busy_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_PATIENCE", 0.0)
    other = sqlite3.connect(root / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Registry.open(root) as registry:
        assert registry.models() == ["credit"]
        with pytest.raises(RegistryBusy, match="in use by other processes"):
            registry.record("test", actor="ada")
        other.close()
        registry.record("test", actor="ada")


def test_no_registry_is_made_where_one_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NoRegistry, match="mainstay train"):
        Registry.open(tmp_path / ".mainstay", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_schema_is_refused(root: Path) -> None:
    other = sqlite3.connect(root / "registry.db", isolation_level=None)
    other.execute("UPDATE alembic_version SET version_num = '9999'")
    other.close()
    before = (root / "registry.db").read_bytes()
    with pytest.raises(RegistryNewer, match=r"schema 9999.*upgrade"):
        Registry.open(root)
    assert (root / "registry.db").read_bytes() == before


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "registry.db")
    other.execute("CREATE TABLE songs (title)")
    other.close()
    with pytest.raises(NotARegistry, match="move it away"):
        Registry.open(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"x" * 5000)
    with pytest.raises(RegistryCorrupt, match="put a copy of it in its place"):
        Registry.open(tmp_path)


def test_a_damaged_database_is_found_out(root: Path) -> None:
    path = root / "registry.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(RegistryCorrupt), Registry.open(root) as registry:
        registry.versions()
        registry.events()
        add(registry, graph="2")


@pytest.mark.parametrize("cut", [0, 1])
def test_a_file_where_a_folder_should_be_is_told(tmp_path: Path, cut: int) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="file"):
        Registry.open((tmp_path / "file" / ".mainstay" / "deep").parents[cut])


def test_a_folder_that_may_not_be_written_is_told(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    # Nobody may enter pytest's own folders.
    folder = Path("/tmp") / f"mainstay-test-{os.getpid()}"
    shutil.copytree(root, folder)
    try:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        told = subprocess.run(
            [sys.executable, "-c", READS_AS_NOBODY, str(folder)], capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stderr
        lines = told.stdout.splitlines()
        assert len(lines) == 4
        assert all(line.startswith(f"NotWritable {folder}") and "may not be written" in line for line in lines)
    finally:
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        shutil.rmtree(folder)


def test_processes_that_race_to_make_a_registry_make_one(tmp_path: Path) -> None:
    begin = str(time.time() + 1.5)
    racing = [subprocess.Popen([sys.executable, "-c", OPENS, str(tmp_path / "new"), begin]) for _ in range(4)]
    assert [process.wait() for process in racing] == [0] * 4


def test_threads_that_race_to_make_a_registry_make_one(tmp_path: Path) -> None:
    def opens(_: int) -> int:
        with Registry.open(tmp_path / "new") as registry:
            return registry.generation()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(opens, range(8))) == [0] * 8


def test_a_making_that_was_killed_is_begun_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES_MIGRATING, str(tmp_path)], check=False)
    other = sqlite3.connect(tmp_path / "registry.db")
    assert other.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    other.close()
    with Registry.open(tmp_path) as registry:
        assert add(registry).ref == "credit:1"


def test_an_empty_file_becomes_a_registry(tmp_path: Path) -> None:
    (tmp_path / "registry.db").touch()
    with Registry.open(tmp_path) as registry:
        assert registry.models() == []


def test_opening_what_is_up_to_date_does_not_load_alembic(root: Path) -> None:
    subprocess.run([sys.executable, "-c", OPENS_WITHOUT_ALEMBIC, str(root)], check=True)


def test_a_registry_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Registry.open(Path(".mainstay")) as registry:
        monkeypatch.chdir("/")
        registry._database._engine.dispose()
        assert registry.package(add(registry)).read("model.onnx") == b"1"


def test_many_threads_share_one_registry(root: Path) -> None:
    with Registry.open(root) as registry, ThreadPoolExecutor(24) as pool:
        added = list(pool.map(lambda n: add(registry, graph=f"graph {n}").number, range(48)))
        assert sorted(added) == list(range(2, 50))


def test_a_folder_with_every_kind_of_name_holds_a_registry(tmp_path: Path) -> None:
    for name in ("a b", "100%", "what?", "a#b", "ü", "%(here)s"):
        with Registry.open(tmp_path / name / ".mainstay") as registry:
            add(registry)
        assert (tmp_path / name / ".mainstay" / "registry.db").exists()
