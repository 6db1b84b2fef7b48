"""Add single-use login codes, browser sessions that can be ended, and expiry of tokens."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("api_token", sa.Column("expires_at", _TIME))
    op.create_table(
        "login_code",
        sa.Column("code_hash", sa.LargeBinary, nullable=False),
        sa.Column("token_id", sa.Uuid, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME),
        sa.PrimaryKeyConstraint("code_hash", name="pk_login_code"),
        sa.ForeignKeyConstraint(["token_id"], ["api_token.id"], name="fk_login_code_token_id"),
        sa.CheckConstraint("octet_length(code_hash) = 32", name="ck_login_code_code_hash"),
    )
    op.create_table(
        "web_session",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("token_id", sa.Uuid, nullable=False),
        sa.Column("created_at", _TIME, nullable=False, server_default=sa.func.now()),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_web_session"),
        sa.ForeignKeyConstraint(["token_id"], ["api_token.id"], name="fk_web_session_token_id"),
    )


def downgrade() -> None:
    op.drop_table("web_session")
    op.drop_table("login_code")
    op.drop_column("api_token", "expires_at")
