"""The SQL database of a registry: PostgreSQL, for several machines at once.

One writer at a time, as with SQLite: each write begins with an advisory lock, which ends with its transaction. So
numbers have no gaps, comparing and swapping is one step, and events become visible in the order of their ids, which
whoever follows them relies on. A write takes milliseconds; reading waits for nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import ArgumentError, DBAPIError, InvalidRequestError, NoSuchModuleError

from mainstay.errors import MachineError, MainstayError, MissingExtra
from mainstay.registry import migrations
from mainstay.registry.errors import NoRegistry, NotARegistry, RegistryBusy, RegistryNewer
from mainstay.registry.transactions import JSON
from mainstay.registry.urls import BadUrl, Expanded

_DRIVER = "postgresql+psycopg"
_PATIENCE = 30
"""Seconds that a transaction waits for others; a transaction takes milliseconds."""
_MIGRATION_PATIENCE = 120
_IDLE = 60
"""Seconds after which the server ends a transaction whose process is not heard of any more: it may hold the lock."""
_CONNECT_WITHIN = 10
# Of this schema: registries in several schemas of one database do not wait for each other. 0x4D53 is "MS".
_LOCK = "SELECT pg_advisory_xact_lock(19795, hashtext(current_schema()))"
# SET LOCAL, so that a pooler between may hand connections around.
_BEGIN = (
    "SET LOCAL lock_timeout = '{patience}s'; SET LOCAL idle_in_transaction_session_timeout = '{idle}s'; "
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'; "
)


class RegistryAway(MachineError):
    """The server of the database did not answer, or refused."""


class PostgresDatabase:
    """Transactions on the tables of a registry, in the schema that the URL's search path begins with."""

    def __init__(self, at: Expanded) -> None:
        self.at = at
        self._engine = _engine(at)

    @classmethod
    def open(cls, at: Expanded, *, create: bool) -> PostgresDatabase:
        """The registry at a URL, its tables made or brought to the present schema if need be.

        Raises:
            NoRegistry: there is none, and `create` is false.
            BadUrl, MissingExtra, RegistryAway, RegistryBusy, RegistryNewer, NotARegistry.
        """
        database = cls(at)
        try:
            database._prepare(create=create)
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database, and changes nothing."""
        with self._told(), self._engine.connect() as connection:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is alone in writing: committed, durably, at the end of the block, or not at all."""
        with self._alone(_PATIENCE) as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _prepare(self, *, create: bool) -> None:
        with self.read() as connection:
            found = self._revision(connection)
        if found is None and not create:
            raise NoRegistry(self.at.shown)
        if found != migrations.HEAD:
            with self._alone(_MIGRATION_PATIENCE) as connection:
                if self._revision(connection) != migrations.HEAD:  # nobody did it while this one waited
                    migrations.upgrade(connection)

    @contextmanager
    def _alone(self, patience: int) -> Iterator[Connection]:
        with self._told(), self._engine.connect() as connection:
            # A statement sees what was committed before it began: after the lock, everything.
            connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.exec_driver_sql(_BEGIN.format(patience=patience, idle=_IDLE) + _LOCK)
                yield connection

    def _revision(self, connection: Connection) -> str | None:
        """The schema's revision; None where there is no table.

        Raises:
            RegistryNewer, NotARegistry.
        """
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
        if schema is None:
            raise RegistryAway(f"{self.at.shown}: the schema of the search path does not exist: make it first.")
        listed = "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
        tables = set(connection.exec_driver_sql(listed).scalars())
        if not tables:
            return None
        if migrations.TABLE not in tables or "version" not in tables:
            raise NotARegistry(self.at.shown)
        found = str(connection.exec_driver_sql(f"SELECT version_num FROM {migrations.TABLE}").scalar_one())  # noqa: S608 - a constant
        if found not in migrations.REVISIONS:
            raise RegistryNewer(self.at.shown, found=found, known=migrations.HEAD)
        return found

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what PostgreSQL says into what a person can act on."""
        try:
            yield
        except DBAPIError as error:
            raised = _meant(error, self.at)
            if raised is None:
                raise
            raise raised from error


def _engine(at: Expanded) -> Engine:
    url = at.url
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername=_DRIVER)
    if url.drivername != _DRIVER:
        raise BadUrl(
            f"{at.shown} is no database that a registry can be in: write {_DRIVER}://${{USER}}:${{PASSWORD}}@host/db."
        )
    try:
        return create_engine(
            url,
            connect_args={"connect_timeout": _CONNECT_WITHIN, "application_name": "mainstay"},
            pool_pre_ping=True,  # a server that was restarted is no error
            max_overflow=-1,
            hide_parameters=True,
            **JSON,
        )
    except ModuleNotFoundError as error:
        raise MissingExtra("A registry on PostgreSQL", "postgres", error.name or "psycopg") from None
    except (ArgumentError, InvalidRequestError, NoSuchModuleError) as error:
        raise BadUrl(f"{at.shown} cannot be used: {at.redacted(str(error))}.") from None


def _meant(error: DBAPIError, at: Expanded) -> MainstayError | None:
    """The error to raise for an error of PostgreSQL's; None for one that is a fault of the program."""
    origin = error.orig
    state = str(getattr(origin, "sqlstate", None) or "")
    said = at.redacted(_first_line(str(origin)))
    for pattern, kind, sentence in _MEANINGS:
        if re.match(pattern, state):
            return kind(sentence.format(at=at.shown, said=said, patience=_PATIENCE))
    if not state and error.connection_invalidated:
        return RegistryAway(
            f"The connection to {at.shown} broke ({said}); whether the last change was kept is not known: "
            "look, then try again."
        )
    if not state and type(origin).__name__ == "OperationalError":
        return RegistryAway(f"{at.shown} does not answer ({said}): check that it runs and can be reached from here.")
    if type(origin).__name__ == "DataError" and not state:  # found by the driver: a NUL character
        return MainstayError(f"{at.shown} cannot keep this text: {said}.")
    return None


_MEANINGS: tuple[tuple[str, type[MainstayError], str], ...] = (
    (
        r"55P03|40001|40P01",
        RegistryBusy,
        "{at} was in use by other processes for {patience} seconds: let them end, then try again.",
    ),
    (r"28", RegistryAway, "{at} refuses this user ({said}): check the user and the password in the environment."),
    (r"3D000", RegistryAway, "{at}: {said}: make it first (createdb), or mend url in [registry]."),
    (r"42501", RegistryAway, "{at}: {said}: grant this user the right to make and write tables in its schema."),
    (r"25006", RegistryAway, "{at} can only be read (a standby?): name the primary in url of [registry]."),
    (
        r"53100|53200",
        RegistryAway,
        "{at} has no room left ({said}): make some there, then try again; nothing was half done.",
    ),
    (r"53300", RegistryAway, "{at} has no connection left ({said}): raise its max_connections, or end other clients."),
    (r"57P0|08|25P03", RegistryAway, "{at} ended the connection ({said}): look what was kept, then try again."),
    (r"58|XX", RegistryAway, "{at} is in trouble ({said}): see its log."),
)
"""By the beginning of SQLSTATE (appendix A of PostgreSQL's manual)."""


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "nothing more is known"
