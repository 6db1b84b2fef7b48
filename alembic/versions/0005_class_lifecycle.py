"""Add sub-classes, exemplars and events of classes, and label audits of the whole catalogue."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KINDS = "'create', 'rename', 'describe', 'state', 'move', 'exemplars', 'merge', 'undo'"
_NOW = sa.func.now()


def upgrade() -> None:
    op.add_column("glitch_class", sa.Column("parent_id", sa.Integer))
    op.add_column(
        "glitch_class",
        sa.Column(
            "exemplar_ids",
            postgresql.ARRAY(sa.Uuid, dimensions=1),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.create_foreign_key(
        "fk_glitch_class_parent_id", "glitch_class", "glitch_class", ["parent_id"], ["id"]
    )
    op.create_check_constraint("ck_glitch_class_parent_id", "glitch_class", "parent_id <> id")
    op.create_index("ix_glitch_class_parent_id", "glitch_class", ["parent_id"])
    op.create_table(
        "class_event",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("class_id", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("payload", postgresql.JSONB, nullable=False),
        sa.Column("undoes_event_id", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_class_event"),
        sa.ForeignKeyConstraint(["class_id"], ["glitch_class.id"], name="fk_class_event_class_id"),
        sa.ForeignKeyConstraint(
            ["undoes_event_id"], ["class_event.id"], name="fk_class_event_undoes_event_id"
        ),
        sa.UniqueConstraint("undoes_event_id", name="uq_class_event_undoes_event_id"),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name="ck_class_event_kind"),
        sa.CheckConstraint(
            "(kind = 'undo') = (undoes_event_id IS NOT NULL)", name="ck_class_event_undo"
        ),
    )
    op.create_index("ix_class_event_class_id_id", "class_event", ["class_id", "id"])
    op.create_table(
        "label_audit",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("checkpoint_id", sa.Integer, nullable=False),
        sa.Column("n_voters", sa.SmallInteger, nullable=False),
        sa.Column("n_labelled", sa.Integer, nullable=False),
        sa.Column("n_audited", sa.Integer, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_label_audit"),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name="fk_label_audit_checkpoint_id"
        ),
        sa.CheckConstraint("n_voters BETWEEN 1 AND 50", name="ck_label_audit_n_voters"),
    )
    op.create_index("ix_label_audit_created_at_id", "label_audit", ["created_at", "id"])
    op.create_table(
        "label_finding",
        sa.Column("audit_id", sa.Uuid, nullable=False),
        sa.Column("glitch_id", sa.Uuid, nullable=False),
        sa.Column("class_id", sa.Integer, nullable=False),
        sa.Column("suggested_id", sa.Integer, nullable=False),
        sa.Column("n_agreeing", sa.SmallInteger, nullable=False),
        sa.Column("n_suggesting", sa.SmallInteger, nullable=False),
        sa.Column("margin", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("audit_id", "glitch_id", name="pk_label_finding"),
        sa.ForeignKeyConstraint(
            ["audit_id"], ["label_audit.id"], name="fk_label_finding_audit_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["glitch_id"], ["glitch.id"], name="fk_label_finding_glitch_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["class_id"], ["glitch_class.id"], name="fk_label_finding_class_id"
        ),
        sa.ForeignKeyConstraint(
            ["suggested_id"], ["glitch_class.id"], name="fk_label_finding_suggested_id"
        ),
        sa.CheckConstraint(
            "n_suggesting > n_agreeing AND n_agreeing >= 0", name="ck_label_finding_votes"
        ),
    )
    op.create_index(
        "ix_label_finding_audit_id_margin_glitch_id",
        "label_finding",
        ["audit_id", "margin", "glitch_id"],
    )
    for column in ("glitch_id", "class_id", "suggested_id"):
        op.create_index(f"ix_label_finding_{column}", "label_finding", [column])


def downgrade() -> None:
    op.drop_table("label_finding")
    op.drop_table("label_audit")
    op.drop_table("class_event")
    op.drop_index("ix_glitch_class_parent_id", "glitch_class")
    op.drop_constraint("ck_glitch_class_parent_id", "glitch_class", type_="check")
    op.drop_constraint("fk_glitch_class_parent_id", "glitch_class", type_="foreignkey")
    op.drop_column("glitch_class", "exemplar_ids")
    op.drop_column("glitch_class", "parent_id")
