"""Versions that are served beside the one that takes a model's traffic."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TIME = sa.DateTime(timezone=True)
ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "beside",
        sa.Column("model_id", ID, nullable=False),
        sa.Column("version_id", ID, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("override", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("model_id", "version_id", name="pk_beside"),
        sa.ForeignKeyConstraint(["model_id"], ["deployment.model_id"], name="fk_beside_model_id"),
        sa.ForeignKeyConstraint(
            ["model_id", "version_id"], ["version.model_id", "version.id"], name="fk_beside_model_id_version_id"
        ),
    )
