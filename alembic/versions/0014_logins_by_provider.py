"""Allow browser sessions of users who log in through an OpenID provider, without a token."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ROLES = "role IN ('reader', 'submitter', 'reviewer', 'admin')"


def upgrade() -> None:
    op.alter_column("web_session", "token_id", nullable=True)
    op.add_column("web_session", sa.Column("name", sa.Text))
    op.add_column("web_session", sa.Column("role", sa.Text))
    op.create_check_constraint(op.f("ck_web_session_role"), "web_session", _ROLES)
    op.create_check_constraint(
        op.f("ck_web_session_holder"), "web_session", "num_nonnulls(token_id, name) = 1"
    )
    op.create_check_constraint(
        op.f("ck_web_session_name_and_role"), "web_session", "num_nonnulls(name, role) <> 1"
    )


def downgrade() -> None:
    op.execute("DELETE FROM web_session WHERE token_id IS NULL")
    for name in ("name_and_role", "holder", "role"):
        op.drop_constraint(op.f(f"ck_web_session_{name}"), "web_session", type_="check")
    op.drop_column("web_session", "role")
    op.drop_column("web_session", "name")
    op.alter_column("web_session", "token_id", nullable=False)
