"""Tables of background jobs. The row of a job is authoritative; messages only notify.

All times come from the database, and leases and due times are compared only with its clock. A
worker with a wrong clock can therefore neither keep nor steal a chunk.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base, one_of, uuid7
from app.glitches.tables import Glitch

JOB_STATES = ("queued", "running", "succeeded", "failed", "cancelled")
CHUNK_STATES = ("queued", "running", "done", "failed")
ITEM_STATES = ("queued", "done", "failed", "skipped")
OPEN = "state IN ('queued', 'running')"


class Job(Base):
    """A unit of background work that a user or the service requested.

    The four counts repeat those of chunks and items, in units (one item is one unit), so that
    progress is one row even with a million items. Each transaction that changes a chunk updates
    them.
    """

    __tablename__ = "job"
    __table_args__ = (
        sa.CheckConstraint(one_of("state", JOB_STATES), name="state"),
        sa.CheckConstraint("done + failed + skipped <= total", name="counts"),
        sa.Index("ix_job_created_at_id", "created_at", "id"),
        sa.Index("ix_job_open", "id", postgresql_where=sa.text(OPEN)),
        sa.Index("uq_job_key_open", "kind", "key", unique=True, postgresql_where=sa.text(OPEN)),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    kind: Mapped[str]
    key: Mapped[str | None]  # at most one open job of a kind has the same key
    state: Mapped[str] = mapped_column(server_default="queued")
    is_cancel_requested: Mapped[bool] = mapped_column(server_default=sa.text("false"))
    parameters: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any] | None]
    total: Mapped[int] = mapped_column(sa.BigInteger, server_default=sa.text("0"))
    done: Mapped[int] = mapped_column(sa.BigInteger, server_default=sa.text("0"))
    failed: Mapped[int] = mapped_column(sa.BigInteger, server_default=sa.text("0"))
    skipped: Mapped[int] = mapped_column(sa.BigInteger, server_default=sa.text("0"))
    author: Mapped[str]
    detail: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobChunk(Base):
    """A part of a job that one worker does in one transaction, under a lease.

    ``phase`` is 0 for planning, 1 for the planned parts and 2 for the finish. Planning and finish
    are one chunk each, so leases, attempts and failures work the same for all.
    """

    __tablename__ = "job_chunk"
    __table_args__ = (
        sa.CheckConstraint(one_of("state", CHUNK_STATES), name="state"),
        sa.CheckConstraint("phase BETWEEN 0 AND 2", name="phase"),
        sa.CheckConstraint("done + failed + skipped <= units", name="counts"),
        sa.CheckConstraint(
            "(state = 'running') = (lease_owner IS NOT NULL AND lease_until IS NOT NULL)",
            name="lease",
        ),
        sa.Index("ix_job_chunk_open", "job_id", "phase", "ordinal", postgresql_where=sa.text(OPEN)),
        # Only running chunks, which are few however many wait; finds expired leases.
        sa.Index(
            "ix_job_chunk_running",
            "job_id",
            "lease_until",
            postgresql_where=sa.text("state = 'running'"),
        ),
        sa.Index(
            "ix_job_chunk_failed",
            "job_id",
            "phase",
            "ordinal",
            postgresql_where=sa.text("state = 'failed' OR failed > 0"),
        ),
    )

    job_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True
    )
    phase: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True)
    ordinal: Mapped[int] = mapped_column(sa.Integer, primary_key=True)
    state: Mapped[str] = mapped_column(server_default="queued")
    payload: Mapped[dict[str, Any]]
    first_item: Mapped[int] = mapped_column(sa.BigInteger, server_default=sa.text("0"))
    units: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    done: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    failed: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    skipped: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    attempts: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    # Increases with every claim and never decreases; it blocks a late worker's commit.
    claim: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    due_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    detail: Mapped[str | None]


class JobItem(Base):
    """One input of a job and its result. ``ordinal`` counts through the whole job."""

    __tablename__ = "job_item"
    __table_args__ = (
        sa.CheckConstraint(one_of("state", ITEM_STATES), name="state"),
        sa.CheckConstraint("state <> 'failed' OR reason IS NOT NULL", name="reason"),
        sa.Index(
            "ix_job_item_failed", "job_id", "ordinal", postgresql_where=sa.text("state = 'failed'")
        ),
        sa.Index(
            "ix_job_item_glitch_id", "glitch_id", postgresql_where=sa.text("glitch_id IS NOT NULL")
        ),
    )

    job_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("job.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    chunk: Mapped[int]
    name: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    glitch_id: Mapped[UUID | None] = mapped_column(sa.ForeignKey(Glitch.id, ondelete="SET NULL"))


class JobEvent(Base):
    """An event in the history of a job. Rows are only appended."""

    __tablename__ = "job_event"
    __table_args__ = (sa.Index("ix_job_event_job_id_id", "job_id", "id"),)

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    job_id: Mapped[UUID] = mapped_column(sa.ForeignKey("job.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.clock_timestamp())
    name: Mapped[str]
    detail: Mapped[str | None]
