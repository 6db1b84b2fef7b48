"""Store the simulated class that the model predicts for each glitch.

Embeddings stored before have none.
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("embedding", sa.Column("simulated_class", sa.Text))
    op.add_column("embedding", sa.Column("simulated_probability", sa.Double))


def downgrade() -> None:
    op.drop_column("embedding", "simulated_probability")
    op.drop_column("embedding", "simulated_class")
