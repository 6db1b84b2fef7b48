"""Create the tables of background jobs: jobs, chunks with leases, items, events."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('queued', 'running')")


def _count(name: str, kind: type[sa.Integer]) -> sa.Column[int]:
    return sa.Column(name, kind, server_default=sa.text("0"), nullable=False)


def _time(name: str) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True))


def _time_now(name: str, now: str = "now()") -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text(now), nullable=False)


def _of_job(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["job_id"], ["job.id"], name=f"fk_{table}_job_id", ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("state", sa.Text, server_default="queued", nullable=False),
        sa.Column(
            "is_cancel_requested", sa.Boolean, server_default=sa.text("false"), nullable=False
        ),
        sa.Column("parameters", postgresql.JSONB, nullable=False),
        sa.Column("result", postgresql.JSONB),
        *(_count(name, sa.BigInteger) for name in ("total", "done", "failed", "skipped")),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("detail", sa.Text),
        _time_now("created_at"),
        _time("started_at"),
        _time("finished_at"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name="ck_job_state",
        ),
        sa.CheckConstraint("done + failed + skipped <= total", name="ck_job_counts"),
    )
    op.create_index("ix_job_created_at_id", "job", ["created_at", "id"])
    op.create_index("ix_job_open", "job", ["id"], postgresql_where=_OPEN)
    op.create_index("uq_job_key_open", "job", ["kind", "key"], unique=True, postgresql_where=_OPEN)
    op.create_table(
        "job_chunk",
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("phase", sa.SmallInteger, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, server_default="queued", nullable=False),
        sa.Column("payload", postgresql.JSONB, nullable=False),
        _count("first_item", sa.BigInteger),
        *(
            _count(name, sa.Integer)
            for name in ("units", "done", "failed", "skipped", "attempts", "claim")
        ),
        sa.Column("lease_owner", sa.Text),
        _time("lease_until"),
        _time_now("due_at"),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("job_id", "phase", "ordinal", name="pk_job_chunk"),
        _of_job("job_chunk"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed')", name="ck_job_chunk_state"
        ),
        sa.CheckConstraint("phase BETWEEN 0 AND 2", name="ck_job_chunk_phase"),
        sa.CheckConstraint("done + failed + skipped <= units", name="ck_job_chunk_counts"),
        sa.CheckConstraint(
            "(state = 'running') = (lease_owner IS NOT NULL AND lease_until IS NOT NULL)",
            name="ck_job_chunk_lease",
        ),
    )
    place = ["job_id", "phase", "ordinal"]
    op.create_index("ix_job_chunk_open", "job_chunk", place, postgresql_where=_OPEN)
    op.create_index(
        "ix_job_chunk_running",
        "job_chunk",
        ["job_id", "lease_until"],
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(
        "ix_job_chunk_failed",
        "job_chunk",
        place,
        postgresql_where=sa.text("state = 'failed' OR failed > 0"),
    )
    op.create_table(
        "job_item",
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("ordinal", sa.BigInteger, nullable=False),
        sa.Column("chunk", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("glitch_id", sa.Uuid),
        sa.PrimaryKeyConstraint("job_id", "ordinal", name="pk_job_item"),
        _of_job("job_item"),
        sa.ForeignKeyConstraint(
            ["glitch_id"], ["glitch.id"], name="fk_job_item_glitch_id", ondelete="SET NULL"
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'done', 'failed', 'skipped')", name="ck_job_item_state"
        ),
        sa.CheckConstraint("state <> 'failed' OR reason IS NOT NULL", name="ck_job_item_reason"),
    )
    op.create_index(
        "ix_job_item_failed",
        "job_item",
        ["job_id", "ordinal"],
        postgresql_where=sa.text("state = 'failed'"),
    )
    op.create_index(
        "ix_job_item_glitch_id",
        "job_item",
        ["glitch_id"],
        postgresql_where=sa.text("glitch_id IS NOT NULL"),
    )
    op.create_table(
        "job_event",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        _time_now("created_at", "clock_timestamp()"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_job_event"),
        _of_job("job_event"),
    )
    op.create_index("ix_job_event_job_id_id", "job_event", ["job_id", "id"])


def downgrade() -> None:
    for table in ("job_event", "job_item", "job_chunk", "job"):
        op.drop_table(table)
