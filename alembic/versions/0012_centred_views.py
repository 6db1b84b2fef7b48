"""Store the time of the loudest tile of a glitch and the time at the centre of its views."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("glitch", sa.Column("peak_gps_time", sa.Numeric(20, 9)))
    op.add_column("glitch", sa.Column("centre_gps_time", sa.Numeric(20, 9)))


def downgrade() -> None:
    op.drop_column("glitch", "centre_gps_time")
    op.drop_column("glitch", "peak_gps_time")
