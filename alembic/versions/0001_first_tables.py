"""Create the tables of glitches, views, checkpoints, embeddings, labels, classes, tokens, audit."""

from __future__ import annotations

import sqlalchemy as sa
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _created_at() -> sa.Column[sa.DateTime]:
    return sa.Column(
        "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
    )


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "glitch_class",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_glitch_class"),
        sa.UniqueConstraint("name", name="uq_glitch_class_name"),
        sa.CheckConstraint(
            "state IN ('active', 'dormant', 'candidate', 'retired')", name="ck_glitch_class_state"
        ),
        sa.CheckConstraint("origin IN ('gravityspy', 'ours')", name="ck_glitch_class_origin"),
    )
    op.create_table(
        "glitch",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("gravityspy_id", sa.Text),
        sa.Column("ifo", sa.Text),
        sa.Column("channel", sa.Text),
        sa.Column("gps_time", sa.Numeric(20, 9)),
        sa.Column("snr", sa.Double),
        sa.Column("peak_frequency", sa.Double),
        sa.Column("duration", sa.Double),
        sa.Column("bandwidth", sa.Double),
        sa.Column("q", sa.Double),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("content_digest", sa.LargeBinary, nullable=False),
        sa.Column("class_id", sa.Integer),
        sa.Column(
            "is_simulated",
            sa.Boolean,
            sa.Computed("origin = 'simulated'", persisted=True),
            nullable=False,
        ),
        sa.Column(
            "is_calibration",
            sa.Boolean,
            sa.Computed("get_byte(content_digest, 0) < 64", persisted=True),
            nullable=False,
        ),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_glitch"),
        sa.UniqueConstraint("gravityspy_id", name="uq_glitch_gravityspy_id"),
        sa.UniqueConstraint("content_digest", name="uq_glitch_content_digest"),
        sa.ForeignKeyConstraint(["class_id"], ["glitch_class.id"], name="fk_glitch_class_id"),
        sa.CheckConstraint(
            "origin IN ('upload', 'simulated', 'gravityspy', 'omicron')", name="ck_glitch_origin"
        ),
        sa.CheckConstraint("octet_length(content_digest) = 32", name="ck_glitch_content_digest"),
        sa.CheckConstraint("ifo ~ '^[A-Z][0-9]$'", name="ck_glitch_ifo"),
    )
    op.create_index("ix_glitch_ifo_id", "glitch", ["ifo", "id"])
    op.create_index("ix_glitch_class_id_id", "glitch", ["class_id", "id"])
    op.create_index("ix_glitch_gps_time", "glitch", ["gps_time"])
    op.create_index("ix_glitch_snr", "glitch", ["snr"])
    op.create_index("ix_glitch_peak_frequency", "glitch", ["peak_frequency"])
    op.create_table(
        "view",
        sa.Column("glitch_id", sa.Uuid, nullable=False),
        sa.Column("duration", sa.Double, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.Column("observed", sa.LargeBinary, nullable=False),
        sa.Column("n_frequency", sa.SmallInteger, nullable=False),
        sa.Column("n_time", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("glitch_id", "duration", name="pk_view"),
        sa.ForeignKeyConstraint(
            ["glitch_id"], ["glitch.id"], name="fk_view_glitch_id", ondelete="CASCADE"
        ),
    )
    # EXTERNAL skips PostgreSQL's compression, because the bytes are already compressed.
    op.execute("ALTER TABLE view ALTER COLUMN packed SET STORAGE EXTERNAL")
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("preprocessing_digest", sa.Text, nullable=False),
        sa.Column("latent_size", sa.SmallInteger, nullable=False),
        sa.Column("manifest", postgresql.JSONB, nullable=False),
        sa.Column("is_active", sa.Boolean, server_default=sa.text("false"), nullable=False),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoint"),
        sa.UniqueConstraint("digest", name="uq_checkpoint_digest"),
        sa.CheckConstraint("latent_size BETWEEN 1 AND 2000", name="ck_checkpoint_latent_size"),
    )
    op.create_index(
        "uq_checkpoint_is_active",
        "checkpoint",
        ["is_active"],
        unique=True,
        postgresql_where=sa.text("is_active"),
    )
    op.create_table(
        "embedding",
        sa.Column("glitch_id", sa.Uuid, nullable=False),
        sa.Column("checkpoint_id", sa.Integer, nullable=False),
        sa.Column("ifo", sa.Text),
        sa.Column("is_simulated", sa.Boolean, nullable=False),
        sa.Column("is_reference", sa.Boolean, nullable=False),
        sa.Column("mean", Vector(), nullable=False),
        sa.Column("log_variance", postgresql.ARRAY(postgresql.REAL, dimensions=1), nullable=False),
        sa.Column("reconstruction_error", sa.Double, nullable=False),
        sa.Column("kl", sa.Double, nullable=False),
        sa.Column("novelty_score", sa.Double),
        sa.Column("p_value", sa.Double),
        sa.Column("is_judged", sa.Boolean, nullable=False),
        sa.Column("not_judged_reason", sa.Text),
        sa.Column("calibration_score", sa.Double),
        sa.PrimaryKeyConstraint("glitch_id", "checkpoint_id", name="pk_embedding"),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name="fk_embedding_checkpoint_id"
        ),
        sa.ForeignKeyConstraint(
            ["glitch_id"], ["glitch.id"], name="fk_embedding_glitch_id", ondelete="CASCADE"
        ),
        postgresql_partition_by="LIST (checkpoint_id)",
    )
    op.create_index(
        "ix_embedding_calibration",
        "embedding",
        ["ifo", "is_simulated", "calibration_score"],
        postgresql_where=sa.text("calibration_score IS NOT NULL"),
    )
    op.create_index(
        "ix_embedding_p_value",
        "embedding",
        ["p_value"],
        postgresql_where=sa.text("p_value IS NOT NULL"),
    )
    op.create_table(
        "label",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("glitch_id", sa.Uuid, nullable=False),
        sa.Column("class_id", sa.Integer, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        _created_at(),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_by", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_label"),
        sa.ForeignKeyConstraint(
            ["glitch_id"], ["glitch.id"], name="fk_label_glitch_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["class_id"], ["glitch_class.id"], name="fk_label_class_id"),
        sa.CheckConstraint("(revoked_at IS NULL) = (revoked_by IS NULL)", name="ck_label_revoked"),
    )
    op.create_index("ix_label_glitch_id_id", "label", ["glitch_id", "id"])
    op.create_table(
        "api_token",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        _created_at(),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_api_token"),
        sa.UniqueConstraint("secret_hash", name="uq_api_token_secret_hash"),
        sa.CheckConstraint(
            "role IN ('reader', 'submitter', 'reviewer', 'admin')", name="ck_api_token_role"
        ),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name="ck_api_token_secret_hash"),
    )
    op.create_index(
        "uq_api_token_name",
        "api_token",
        ["name"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Uuid, nullable=False),
        _created_at(),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("details", postgresql.JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
    )
    op.create_index("ix_audit_event_subject_id", "audit_event", ["subject", "subject_id", "id"])


def downgrade() -> None:
    for table in (
        "audit_event",
        "api_token",
        "label",
        "embedding",
        "checkpoint",
        "view",
        "glitch",
        "glitch_class",
    ):
        op.drop_table(table)
