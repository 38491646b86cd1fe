"""The registry: models, versions with their attestations, aliases, deployments, events and serving members."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)
ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
NAME = sa.String(63).with_variant(sa.String(63, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "model",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model"),
        sa.UniqueConstraint("name", name="uq_model_name"),
    )
    op.create_table(
        "version",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content_id", sa.String(64), nullable=False),
        sa.Column("format", sa.String(32), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_version"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_version_model_id"),
        sa.UniqueConstraint("model_id", "number", name="uq_version_model_id_number"),
        sa.UniqueConstraint("model_id", "id", name="uq_version_model_id_id"),
    )
    op.create_index("ix_version_model_id_content_id", "version", ["model_id", "content_id"])
    op.create_table(
        "attestation",
        sa.Column("version_id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("original", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("version_id", "name", name="pk_attestation"),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name="fk_attestation_version_id"),
    )
    op.create_table(
        "alias",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("version_id", ID, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("model_id", "name", name="pk_alias"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_alias_model_id"),
        sa.ForeignKeyConstraint(
            ["model_id", "version_id"], ["version.model_id", "version.id"], name="fk_alias_model_id_version_id"
        ),
    )
    op.create_table(
        "deployment",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("version_id", ID, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("override", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("model_id", name="pk_deployment"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_deployment_model_id"),
        sa.ForeignKeyConstraint(
            ["model_id", "version_id"], ["version.model_id", "version.id"], name="fk_deployment_model_id_version_id"
        ),
    )
    counter = op.create_table(
        "counter",
        sa.Column("name", NAME, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counter"),
    )
    op.bulk_insert(counter, [{"name": "generation", "value": 0}])
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("model", NAME),
        sa.Column("version", sa.Integer()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_model_id", "event", ["model", "id"])
    op.create_table(
        "member",
        sa.Column("id", ID, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("beat_at", TIME, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_member"),
    )
