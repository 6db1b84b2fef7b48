"""Store the data-quality flags that were active at the time of a glitch."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    names = sa.Column(
        "data_quality", sa.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")
    )
    op.add_column("glitch", names)
    op.create_index("ix_glitch_data_quality", "glitch", ["data_quality"], postgresql_using="gin")


def downgrade() -> None:
    op.drop_index("ix_glitch_data_quality", "glitch")
    op.drop_column("glitch", "data_quality")
