"""Store the confidence of a classifier with its label."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("label", sa.Column("confidence", sa.Double))
    op.add_column("glitch", sa.Column("ml_confidence", sa.Double))
    op.create_index("ix_glitch_ml_confidence", "glitch", ["ml_confidence"])


def downgrade() -> None:
    op.drop_index("ix_glitch_ml_confidence", "glitch")
    op.drop_column("glitch", "ml_confidence")
    op.drop_column("label", "confidence")
