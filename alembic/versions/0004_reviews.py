"""Create the tables of review events and suggested labels; add the class state "withdrawn"."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KINDS = "'promote', 'merge', 'split', 'dismiss', 'assign', 'comment', 'accept', 'undo'"


def upgrade() -> None:
    op.create_table(
        "review_event",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("identity", sa.Uuid, nullable=False),
        sa.Column("cluster_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("payload", postgresql.JSONB, nullable=False),
        sa.Column("undoes_event_id", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_review_event"),
        sa.ForeignKeyConstraint(
            ["undoes_event_id"], ["review_event.id"], name="fk_review_event_undoes_event_id"
        ),
        sa.UniqueConstraint("undoes_event_id", name="uq_review_event_undoes_event_id"),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name="ck_review_event_kind"),
        sa.CheckConstraint(
            "(kind = 'undo') = (undoes_event_id IS NOT NULL)", name="ck_review_event_undo"
        ),
    )
    op.create_index("ix_review_event_identity_id", "review_event", ["identity", "id"])
    op.create_table(
        "label_suggestion",
        sa.Column("identity", sa.Uuid, nullable=False),
        sa.Column("glitch_id", sa.Uuid, nullable=False),
        sa.Column("class_id", sa.Integer, nullable=False),
        sa.Column("event_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("identity", "glitch_id", name="pk_label_suggestion"),
        sa.ForeignKeyConstraint(
            ["glitch_id"], ["glitch.id"], name="fk_label_suggestion_glitch_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["class_id"], ["glitch_class.id"], name="fk_label_suggestion_class_id"
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["review_event.id"], name="fk_label_suggestion_event_id"
        ),
    )
    op.create_index("ix_label_suggestion_glitch_id", "label_suggestion", ["glitch_id"])
    op.create_index("ix_label_suggestion_class_id", "label_suggestion", ["class_id"])
    op.create_index("ix_label_suggestion_event_id", "label_suggestion", ["event_id"])
    op.drop_constraint("ck_glitch_class_state", "glitch_class", type_="check")
    op.create_check_constraint(
        "ck_glitch_class_state",
        "glitch_class",
        "state IN ('active', 'dormant', 'candidate', 'retired', 'withdrawn')",
    )


def downgrade() -> None:
    op.execute("UPDATE glitch_class SET state = 'retired' WHERE state = 'withdrawn'")
    op.drop_constraint("ck_glitch_class_state", "glitch_class", type_="check")
    op.create_check_constraint(
        "ck_glitch_class_state",
        "glitch_class",
        "state IN ('active', 'dormant', 'candidate', 'retired')",
    )
    op.drop_table("label_suggestion")
    op.drop_table("review_event")
