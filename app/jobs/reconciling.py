"""Finding the jobs that nobody works on although something of them is due."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from app.jobs.finalising import DATABASE_CLOCK, finalise
from app.jobs.leases import is_due
from app.jobs.records import OPEN_STATES, Phase
from app.jobs.tables import Job, JobChunk


def open_jobs(session: Session, *, limit: int = 1000) -> tuple[UUID, ...]:
    """The jobs that have not ended, oldest first."""
    rows = session.scalars(
        select(Job.id).where(Job.state.in_(OPEN_STATES)).order_by(Job.created_at).limit(limit)
    )
    return tuple(rows)


def reconcile(session: Session, job_id: UUID) -> bool:
    """End the job if it has come to its end; whether a worker should look at it now.

    That is where a chunk waits that is due, or one whose worker is taken for dead.
    """
    state = finalise(session, job_id)
    if state not in OPEN_STATES:
        return False
    other = aliased(JobChunk)
    unfinished = (
        select(other.ordinal)
        .where(
            other.job_id == job_id,
            other.phase < Phase.FINISH,
            or_(other.state.in_(OPEN_STATES), other.state == "failed"),
        )
        .exists()
    )
    due = (
        select(JobChunk.ordinal)
        .where(
            JobChunk.job_id == job_id,
            JobChunk.state.in_(OPEN_STATES),
            is_due(),
            or_(JobChunk.phase < Phase.FINISH, ~unfinished),
        )
        .limit(1)
    )
    return session.scalar(due) is not None


def is_any_chunk_at_work(session: Session) -> bool:
    """Whether some worker holds a lease that has not run out."""
    at_work = select(JobChunk.ordinal).where(
        JobChunk.state == "running", JobChunk.lease_until > DATABASE_CLOCK
    )
    return session.scalar(at_work.limit(1)) is not None


def open_job_load(session: Session) -> dict[str, tuple[int, float]]:
    """How many jobs wait and run, and for how long the oldest has been there, in seconds."""
    age = func.extract("epoch", DATABASE_CLOCK - func.min(Job.created_at))
    rows = session.execute(
        select(Job.state, func.count(), age).where(Job.state.in_(OPEN_STATES)).group_by(Job.state)
    )
    found = {state: (int(number), max(0.0, float(age_s))) for state, number, age_s in rows}
    return {state: found.get(state, (0, 0.0)) for state in OPEN_STATES}
