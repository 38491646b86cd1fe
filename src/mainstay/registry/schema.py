"""The tables. One schema for SQLite and PostgreSQL; what changes it is a migration in `migrations/versions`.

Ids of rows are opaque (see `ids`), so a move to another database keeps them. Numbers that people read (a version's,
a generation, an event's) are counted inside the transaction that uses them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class Utc(TypeDecorator[datetime]):
    """An aware time in UTC; SQLite keeps it without its zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# In the order of their bytes, on every database: PostgreSQL's own order depends on its country.
Id = String(36).with_variant(String(36, collation="C"), "postgresql")
Name = String(63).with_variant(String(63, collation="C"), "postgresql")
Hash = String(64)
# An INTEGER PRIMARY KEY is SQLite's own row number.
Counted = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

model = Table(
    "model",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("created_at", Utc, nullable=False),
)

version = Table(
    "version",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model_id", Id, ForeignKey("model.id"), nullable=False),
    Column("number", Integer, nullable=False),
    # Also the hash of the blob that lists the content files: the list is what the id is the digest of.
    Column("content_id", Hash, nullable=False),
    Column("format", String(32), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("summary", JSON, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("model_id", "number"),
    # So that an alias and a deployment can name a version of their own model only.
    UniqueConstraint("model_id", "id"),
    Index(None, "model_id", "content_id"),
)

attestation = Table(
    "attestation",
    metadata,
    Column("version_id", Id, ForeignKey("version.id"), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("sha256", Hash, nullable=False),
    Column("size", BigInteger, nullable=False),
    # Whether it came with the registration, and not later.
    Column("original", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
)

alias = Table(
    "alias",
    metadata,
    Column("model_id", Id, ForeignKey("model.id"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("version_id", Id, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Utc, nullable=False),
    ForeignKeyConstraint(["model_id", "version_id"], ["version.model_id", "version.id"]),
)

deployment = Table(
    "deployment",
    metadata,
    Column("model_id", Id, ForeignKey("model.id"), primary_key=True),
    Column("version_id", Id, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("override", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Utc, nullable=False),
    ForeignKeyConstraint(["model_id", "version_id"], ["version.model_id", "version.id"]),
)

# Versions that are served beside the one that takes the traffic: they go with it.
beside = Table(
    "beside",
    metadata,
    Column("model_id", Id, ForeignKey("deployment.model_id"), primary_key=True),
    Column("version_id", Id, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("override", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Utc, nullable=False),
    ForeignKeyConstraint(["model_id", "version_id"], ["version.model_id", "version.id"]),
)

counter = Table(
    "counter",
    metadata,
    Column("name", Name, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

event = Table(
    "event",
    metadata,
    Column("id", Counted, primary_key=True, autoincrement=True),
    Column("at", Utc, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", String(32), nullable=False),
    # By name and number, not by id: what happened stays told when its version is gone.
    Column("model", Name),
    Column("version", Integer),
    Column("reason", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Index(None, "model", "id"),
    sqlite_autoincrement=True,
)

member = Table(
    "member",
    metadata,
    Column("id", Id, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("beat_at", Utc, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("errors", JSON, nullable=False),
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", Id, primary_key=True),
    # Several projects may share a database; each has webhooks of its own.
    Column("project", Name, nullable=False),
    Column("url", Text, nullable=False),
    Column("kinds", JSON, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("project", "url"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("webhook_id", Id, ForeignKey("webhook.id"), nullable=False),
    Column("event_id", Counted, ForeignKey("event.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    # None once it has ended.
    Column("due_at", Utc),
    Column("ended_at", Utc),
    Column("error", Text, nullable=False),
    UniqueConstraint("webhook_id", "event_id"),
    Index(None, "webhook_id", "due_at"),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False),
    # Of a text of 256 random bits: see `key_text`.
    Column("sha256", Hash, nullable=False),
    # The secret before the last rotation, for as long as it goes on.
    Column("previous_sha256", Hash),
    Column("previous_until", Utc),
    Column("models", JSON, nullable=False),
    Column("verbs", JSON, nullable=False),
    Column("rate", Float),
    Column("burst", Integer),
    Column("expires_at", Utc),
    Column("actor", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("revoked_at", Utc),
)

rollout = Table(
    "rollout",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model_id", Id, ForeignKey("model.id"), nullable=False),
    Column("stable_id", Id, nullable=False),
    Column("candidate_id", Id, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("override", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", Integer, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("share", Integer, nullable=False),
    Column("held", Float, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("verdict", JSON, nullable=False),
    # Of the registry: those that brought it, and what it asks of servers now.
    Column("begun", BigInteger, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("since", Utc, nullable=False),
    Column("ended_at", Utc),
    ForeignKeyConstraint(["model_id", "stable_id"], ["version.model_id", "version.id"]),
    ForeignKeyConstraint(["model_id", "candidate_id"], ["version.model_id", "version.id"]),
    Index(None, "model_id", "begun"),
)

# What each serving agent saw of a rollout; it stays when the agent is gone.
rollout_evidence = Table(
    "rollout_evidence",
    metadata,
    Column("rollout_id", Id, ForeignKey("rollout.id"), primary_key=True),
    Column("member_id", Id, primary_key=True),
    Column("document", JSON, nullable=False),
)

rollout_approval = Table(
    "rollout_approval",
    metadata,
    Column("rollout_id", Id, ForeignKey("rollout.id"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("at", Utc, nullable=False),
)

# Who moves rollouts; no time in it, since clocks of two machines are never compared.
controller = Table(
    "controller",
    metadata,
    Column("name", Name, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Utc, nullable=False),
)


def in_full() -> MetaData:
    """All of it, as the migrations make it: with the index on a part of a table, which no statement need know of.

    It is apart since naming it for PostgreSQL loads all that SQLAlchemy knows of that: 35 ms of every start.
    """
    name = "uq_rollout_model_id_active"
    if name not in {index.name for index in rollout.indexes}:
        active = rollout.c.ended_at.is_(None)
        # Of each model, one at a time.
        Index(name, rollout.c.model_id, unique=True, sqlite_where=active, postgresql_where=active)
    return metadata
