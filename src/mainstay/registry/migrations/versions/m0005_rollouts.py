"""Rollouts: how a candidate comes to take a model's traffic, what servers saw of it, and who moves it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TIME = sa.DateTime(timezone=True)
ID = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
NAME = sa.String(63).with_variant(sa.String(63, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "rollout",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("stable_id", ID, nullable=False),
        sa.Column("candidate_id", ID, nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("override", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("share", sa.Integer(), nullable=False),
        sa.Column("held", sa.Float(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=False),
        sa.Column("begun", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_rollout"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_rollout_model_id"),
        sa.ForeignKeyConstraint(
            ["model_id", "stable_id"], ["version.model_id", "version.id"], name="fk_rollout_model_id_stable_id"
        ),
        sa.ForeignKeyConstraint(
            ["model_id", "candidate_id"], ["version.model_id", "version.id"], name="fk_rollout_model_id_candidate_id"
        ),
    )
    op.create_index("ix_rollout_model_id_begun", "rollout", ["model_id", "begun"])
    op.create_index(
        "uq_rollout_model_id_active",
        "rollout",
        ["model_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "rollout_evidence",
        sa.Column("rollout_id", ID, nullable=False),
        sa.Column("member_id", ID, nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("rollout_id", "member_id", name="pk_rollout_evidence"),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollout.id"], name="fk_rollout_evidence_rollout_id"),
    )
    op.create_table(
        "rollout_approval",
        sa.Column("rollout_id", ID, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("rollout_id", "name", name="pk_rollout_approval"),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollout.id"], name="fk_rollout_approval_rollout_id"),
    )
    op.create_table(
        "controller",
        sa.Column("name", NAME, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_controller"),
    )
