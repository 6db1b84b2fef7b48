"""Store the class nearest to each member of a cluster, for the parts of a later split."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cluster_member", sa.Column("predicted_id", sa.Integer))


def downgrade() -> None:
    op.drop_column("cluster_member", "predicted_id")
