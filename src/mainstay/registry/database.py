"""The SQL database of a registry: SQLite in a folder, opened so that several processes can trust it.

WAL with `synchronous=FULL` (what was acknowledged survives a power cut), foreign keys enforced, and every write in
`BEGIN IMMEDIATE`: a transaction that reads before it writes never has to be started again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from mainstay.errors import MachineError, MainstayError
from mainstay.registry import migrations, snapshots
from mainstay.registry.disk import DATABASE, DiskFull, NotWritable, refused, sync_folder
from mainstay.registry.errors import NoRegistry, NotARegistry, RegistryBusy, RegistryCorrupt, RegistryNewer
from mainstay.registry.locks import file_lock
from mainstay.registry.mounts import refuse_network
from mainstay.registry.transactions import JSON

_LOCK = "registry.lock"
_PATIENCE = 30.0
"""Seconds that a transaction waits for others; a transaction takes milliseconds."""
_MIGRATION_PATIENCE = 120.0
_WRITES = "mainstay_writes"
_ROOM = 1 << 17
"""Bytes that SQLite may need at once; with fewer, a failed write is for want of room."""


class Database:
    """Transactions on the database file of a registry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _engine(path)
        self._unwritten: MachineError | None = None
        """Why nothing can be written, where that is so; then what is read is the state as of when it was opened."""

    @classmethod
    def open(cls, root: Path, *, create: bool) -> Database:
        """The database of the folder `root`, made or brought to the present schema if need be.

        Raises:
            NoRegistry: there is none, and `create` is false.
            NetworkFolder, NotWritable, DiskFull, RegistryBusy, RegistryCorrupt, RegistryNewer, NotARegistry.

        One that can be read and not written is read as it is then; only what would write it raises.
        """
        path = root / DATABASE
        try:
            exists = path.exists()
            if not exists:
                if not create:
                    raise NoRegistry(root)
                if not root.is_dir():
                    root.mkdir(parents=True, exist_ok=True)
                    sync_folder(root.parent)
            refuse_network(root)
        except OSError as error:
            raise refused(error, root) from error
        database = cls(path)
        try:
            database._prepare(root, exists=exists)
        except BaseException:
            database.close()
            raise
        return database

    def _prepare(self, root: Path, *, exists: bool) -> None:
        """Brings the schema up to date; where nothing can be written, reads what is there, once."""
        try:
            current = exists and self._revision() == migrations.HEAD
        except (NotWritable, DiskFull) as error:
            self._engine.dispose()
            self._unwritten, self._engine = (
                error,
                _engine(self.path, snapshots.connector(snapshots.state_of(self.path))),
            )
            current = self._revision() == migrations.HEAD
        if not current:
            self._migrate(root)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database, and changes nothing."""
        with self._told(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is alone in writing: committed, durably, at the end of the block, or not at all."""
        if self._unwritten is not None:
            raise self._unwritten
        with self._told(), self._engine.connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _revision(self) -> str | None:
        """The schema's revision; None for an empty database, or one whose making was interrupted.

        Raises:
            RegistryNewer, NotARegistry.
        """
        with self.read() as connection:
            tables = set(connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE type = 'table'").scalars())
            if not tables:
                return None
            if migrations.TABLE not in tables or "version" not in tables:
                raise NotARegistry(self.path)
            found = str(connection.exec_driver_sql(f"SELECT version_num FROM {migrations.TABLE}").scalar_one())  # noqa: S608 — a constant
        if found not in migrations.REVISIONS:
            raise RegistryNewer(self.path, found=found, known=migrations.HEAD)
        return found

    def _migrate(self, root: Path) -> None:
        if self._unwritten is not None:
            raise self._unwritten
        with file_lock(root / _LOCK, patience=_MIGRATION_PATIENCE):
            if self._revision() == migrations.HEAD:
                return  # another process did it while this one waited
            with self._told(), self._engine.connect() as connection:
                # Outside of a transaction, as SQLite wants it; the file remembers.
                mode = connection.connection.driver_connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]  # type: ignore[union-attr]  # SQLAlchemy types the driver's connection as optional
                if mode != "wal":
                    raise MachineError(
                        f"SQLite cannot share {self.path} between processes on this file system: "
                        "put the project on a local disk."
                    )
            with self.write() as connection:
                migrations.upgrade(connection)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what SQLite says into what a person can act on."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raised = _meant(error, self.path)
            if raised is None:
                raise
            raise raised from error


def _engine(path: Path, connect: Callable[[], sqlite3.Connection] | None = None) -> Engine:
    """The engine of a file; `connect` stands in for how it is opened."""
    more: dict[str, Any] = JSON if connect is None else {"creator": connect, **JSON}
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": _PATIENCE},
        max_overflow=-1,  # SQLite's own lock is the queue
        **more,
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
    # Transactions are begun in `_on_begin`: the driver's own BEGIN would come too late, and not IMMEDIATE.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=FULL")


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _meant(error: DBAPIError | sqlite3.Error, path: Path) -> MainstayError | None:
    """The error to raise for an error of SQLite's; None for one that is a fault of the program."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    name = str(getattr(origin, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        return RegistryBusy(
            f"{path} was in use by other processes for {_PATIENCE:g} seconds: let them end, then try again."
        )
    # On a full disk SQLite's shared memory fails in its own way.
    if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and disk_usage(path.parent).free < _ROOM):
        return DiskFull(path)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return NotWritable(path)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return RegistryCorrupt(
            f"{path} is damaged ({origin}): put a copy of it in its place; the files of the versions in "
            f"{path.parent / 'blobs'} are not touched by this."
        )
    if name.startswith("SQLITE_IOERR"):
        return MachineError(f"{path} cannot be read or written ({origin}): check its disk, then try again.")
    return None
