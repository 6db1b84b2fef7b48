"""Store the findings of a clustering run as records instead of sentences."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "clustering_run",
        sa.Column("findings", postgresql.JSONB, nullable=False, server_default=sa.text("'[]'")),
    )
    op.execute(
        "UPDATE clustering_run SET findings ="
        " jsonb_build_array(jsonb_build_object('kind', 'told', 'text', detail))"
        " WHERE detail <> ''"
    )
    op.drop_column("clustering_run", "detail")


def downgrade() -> None:
    op.add_column("clustering_run", sa.Column("detail", sa.Text, nullable=False, server_default=""))
    op.execute(
        "UPDATE clustering_run SET detail = coalesce("
        "(SELECT string_agg(one ->> 'text', ' ') FROM jsonb_array_elements(findings) AS one), '')"
    )
    op.alter_column("clustering_run", "detail", server_default=None)
    op.drop_column("clustering_run", "findings")
