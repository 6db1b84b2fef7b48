"""Finding the jobs that nobody works on although something of them is due."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.jobs.finalising import DATABASE_CLOCK, finalise
from app.jobs.leases import chunks_due
from app.jobs.records import OPEN_STATES
from app.jobs.tables import Job, JobChunk

_MOST_LOOKED_AT = 1000


def open_jobs(session: Session) -> tuple[UUID, ...]:
    """The jobs that have not ended, oldest first."""
    jobs = select(Job.id).where(Job.state.in_(OPEN_STATES)).order_by(Job.created_at)
    return tuple(session.scalars(jobs.limit(_MOST_LOOKED_AT)))


def reconcile(session: Session, job_id: UUID) -> bool:
    """End the job if it has come to its end; whether a worker should look at it now.

    That is where a chunk waits that is due, or one whose worker is taken for dead.
    """
    state = finalise(session, job_id)
    if state not in OPEN_STATES:
        return False
    return session.scalar(chunks_due(job_id).limit(1)) is not None


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
