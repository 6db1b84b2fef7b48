"""Decide from a job's chunks whether the job has ended, while its row is locked."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.settings import LONGEST_LEASE
from app.jobs.records import OPEN_STATES, Phase
from app.jobs.tables import Job, JobChunk, JobEvent, JobItem

DATABASE_CLOCK = func.clock_timestamp()  # now() is constant within a transaction
LONGEST_PAUSE = timedelta(seconds=300)  # before a chunk is tried again


def is_past(column: InstrumentedAttribute[Any], longest: timedelta) -> ColumnElement[bool]:
    """Condition that a time, set at most ``longest`` ahead, has passed.

    A time further ahead was set before the clock was set back. It counts as past, because it would
    otherwise delay a job for hours.
    """
    return or_(column <= DATABASE_CLOCK, column > DATABASE_CLOCK + longest)


def lock_job(session: Session, job_id: UUID) -> Job | None:
    """Lock the job's row until the transaction ends; None if the job does not exist.

    The lock (FOR NO KEY UPDATE) still allows inserting rows that refer to the job: planning inserts
    thousands of them, and a cancel must not wait for that.
    """
    return session.scalar(
        select(Job)
        .where(Job.id == job_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def finalise(session: Session, job_id: UUID) -> str | None:
    """End the job as cancelled or failed if no part of it can continue; return its state or None.

    The transaction of the finish step sets success instead. This waits for the lock of the job's
    row, so two workers that end the last two chunks at the same time cannot both miss the end.
    """
    job = lock_job(session, job_id)
    if job is None or job.state not in OPEN_STATES:
        return None if job is None else job.state
    if job.is_cancel_requested:
        _free_expired(session, job_id)
        if not _exists(session, job_id, JobChunk.state == "running"):
            end_job(session, job, "cancelled", "Results stored before are kept.")
    elif not _exists(
        session, job_id, JobChunk.phase < Phase.FINISH, JobChunk.state.in_(OPEN_STATES)
    ):
        broken = session.scalar(
            select(JobChunk)
            .where(JobChunk.job_id == job_id, JobChunk.state == "failed")
            .order_by(JobChunk.phase, JobChunk.ordinal)
            .limit(1)
        )
        if broken is not None:
            end_job(session, job, "failed", broken.detail or "A part of the job failed.")
    session.flush()
    return job.state


def ending(session: Session, job_id: UUID) -> tuple[str, str | None]:
    """Final state and message of a job whose chunks are all done."""
    total, failed = session.execute(select(Job.total, Job.failed).where(Job.id == job_id)).one()
    if not failed:
        return "succeeded", None
    reason = session.scalar(
        select(JobItem.reason)
        .where(JobItem.job_id == job_id, JobItem.state == "failed")
        .order_by(JobItem.ordinal)
        .limit(1)
    )
    if failed == total:
        return "failed", f"None of the {total:,} items could be done. The first: {reason}"
    return "succeeded", f"{failed:,} of {total:,} items could not be done. The first: {reason}"


def _free_expired(session: Session, job_id: UUID) -> None:
    """Release the chunks of dead workers, which can then no longer commit them."""
    expired = (
        select(JobChunk)
        .where(
            JobChunk.job_id == job_id,
            JobChunk.state == "running",
            is_past(JobChunk.lease_until, LONGEST_LEASE),
        )
        .with_for_update(skip_locked=True)  # a locked chunk is about to be committed
        .execution_options(populate_existing=True)
    )
    for chunk in session.scalars(expired):
        chunk.state, chunk.lease_owner, chunk.lease_until = "queued", None, None


def _exists(session: Session, job_id: UUID, *conditions: object) -> bool:
    query = select(JobChunk.ordinal).where(JobChunk.job_id == job_id, *conditions).limit(1)  # type: ignore[arg-type]
    return session.scalar(query) is not None


def end_job(session: Session, job: Job, state: str, detail: str | None) -> None:
    """Write the end of a job to its row, which the caller has locked, and to its history."""
    job.state, job.detail = state, detail
    job.finished_at = DATABASE_CLOCK
    session.add(JobEvent(job_id=job.id, name=state, detail=detail))
