"""Create the tables of the map: projections, points, and labels of a selection."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "projection",
        sa.Column("id", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("checkpoint_id", sa.Integer, nullable=False),
        sa.Column("job_id", sa.Uuid),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("n_laid_out", sa.Integer, nullable=False),
        sa.Column("n_points", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("last_glitch_id", sa.Uuid),
        sa.Column("is_ready", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name="pk_projection"),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name="fk_projection_checkpoint_id"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name="fk_projection_job_id", ondelete="SET NULL"
        ),
    )
    op.create_index("ix_projection_checkpoint_id_id", "projection", ["checkpoint_id", "id"])
    op.create_table(
        "map_point",
        sa.Column("projection_id", sa.Integer, nullable=False),
        sa.Column("glitch_id", sa.Uuid, nullable=False),
        sa.Column("x", sa.REAL, nullable=False),
        sa.Column("y", sa.REAL, nullable=False),
        sa.Column("is_anchor", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("projection_id", "glitch_id", name="pk_map_point"),
        sa.ForeignKeyConstraint(
            ["projection_id"],
            ["projection.id"],
            name="fk_map_point_projection_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["glitch_id"], ["glitch.id"], name="fk_map_point_glitch_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_map_point_glitch_id", "map_point", ["glitch_id"])
    op.create_index(
        "ix_map_point_anchors",
        "map_point",
        ["projection_id"],
        postgresql_where=sa.text("is_anchor"),
    )
    op.create_table(
        "bulk_label",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("class_id", sa.Integer, nullable=False),
        sa.Column("label_ids", postgresql.ARRAY(sa.Uuid, dimensions=1), nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.Column("undone_at", sa.DateTime(timezone=True)),
        sa.Column("undone_by", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_bulk_label"),
        sa.ForeignKeyConstraint(["class_id"], ["glitch_class.id"], name="fk_bulk_label_class_id"),
        sa.CheckConstraint(
            "(undone_at IS NULL) = (undone_by IS NULL)", name="ck_bulk_label_undone"
        ),
    )
    op.create_index("ix_bulk_label_created_at", "bulk_label", ["created_at"])


def downgrade() -> None:
    op.drop_table("bulk_label")
    op.drop_table("map_point")
    op.drop_table("projection")
