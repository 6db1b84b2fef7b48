"""Add indices for the pages of classes: counts, first and last times, latest glitches."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_glitch_class_id_is_simulated_id", "glitch", ["class_id", "is_simulated", "id"]
    )
    op.create_index(
        "ix_glitch_class_id_is_simulated_gps_time",
        "glitch",
        ["class_id", "is_simulated", "gps_time"],
        postgresql_include=["ifo"],
    )


def downgrade() -> None:
    op.drop_index("ix_glitch_class_id_is_simulated_gps_time", "glitch")
    op.drop_index("ix_glitch_class_id_is_simulated_id", "glitch")
