"""Leases on chunks, the outcome of a chunk, and queries for jobs that need a worker.

A claim gives a chunk to one worker until a time of the database's clock; a thread of the worker
extends that time. Each claim increases the chunk's ``claim`` number, and every statement that ends
a chunk requires the owner and the number of the claim. If a worker that was considered dead
returns, its transaction is refused, so nothing is stored twice.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from app.core.settings import LONGEST_LEASE
from app.jobs.finalising import DATABASE_CLOCK, LONGEST_PAUSE, is_past, lock_job
from app.jobs.records import OPEN_STATES, Chunk, JobRecord, PendingItem, Phase
from app.jobs.service import add_event, to_record
from app.jobs.tables import Job, JobChunk, JobItem

MAX_ATTEMPTS = 5


class LeaseLostError(Exception):
    """Another worker has claimed this chunk; this attempt must not be committed."""


class JobCancelledError(Exception):
    """The job was cancelled while this chunk was running."""


def claim_chunk(
    session: Session, job_id: UUID, owner: str, lease: timedelta
) -> tuple[JobRecord, Chunk] | None:
    """Claim the next chunk that is due; None if there is none. The caller commits at once.

    Planning comes before the parts, and the finish after all parts are done. Chunks locked by other
    workers are skipped.
    """
    # The lock makes a cancel and a claim wait for each other: otherwise a cancel could find no
    # running chunk, mark the job cancelled, and the chunk would be stored afterwards.
    job = lock_job(session, job_id)
    if job is None or job.state not in OPEN_STATES or job.is_cancel_requested:
        return None
    _fail_expired(session, job_id)
    row = session.scalar(
        select(JobChunk)
        .where(JobChunk.job_id == job_id, *_is_due())
        .order_by(JobChunk.phase, JobChunk.ordinal)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return None
    if row.detail is not None and row.detail == job.detail:
        job.detail = None  # the condition that it waited for may be over
    row.state, row.lease_owner, row.lease_until = "running", owner, DATABASE_CLOCK + lease
    row.attempts += 1
    row.claim += 1
    session.flush()
    if job.state == "queued":
        job.state = "running"
        job.started_at = func.coalesce(Job.started_at, DATABASE_CLOCK)
        add_event(session, job_id, "started")
        session.flush()
        session.refresh(job)
    return to_record(job), _to_chunk(session, row)


def _is_due() -> tuple[ColumnElement[bool], ...]:
    earlier = aliased(JobChunk)
    unfinished = (
        select(earlier.ordinal)
        .where(
            earlier.job_id == JobChunk.job_id,
            earlier.phase < Phase.FINISH,
            or_(earlier.state.in_(OPEN_STATES), earlier.state == "failed"),
        )
        .exists()
    )
    return (
        JobChunk.state.in_(OPEN_STATES),  # lets the query use the partial index of open chunks
        or_(
            and_(JobChunk.state == "queued", is_past(JobChunk.due_at, LONGEST_PAUSE)),
            and_(JobChunk.state == "running", is_past(JobChunk.lease_until, LONGEST_LEASE)),
        ),
        or_(JobChunk.phase < Phase.FINISH, ~unfinished),
    )


def renew_lease(session: Session, chunk: Chunk, lease: timedelta) -> bool:
    """Extend a lease, commit at once; whether the job was cancelled, or LeaseLostError."""
    renewed = session.execute(
        _update(chunk).values(lease_until=DATABASE_CLOCK + lease).returning(JobChunk.ordinal)
    ).first()
    if renewed is None:
        raise LeaseLostError
    return bool(session.scalar(select(Job.is_cancel_requested).where(Job.id == chunk.job_id)))


def release_chunk(
    session: Session, chunk: Chunk, *, pause: timedelta = timedelta(0), detail: str | None = None
) -> None:
    """Release a chunk without counting the attempt; do nothing if it is no longer ours."""
    session.execute(
        _update(chunk).values(
            state="queued",
            lease_owner=None,
            lease_until=None,
            attempts=JobChunk.attempts - 1,
            due_at=DATABASE_CLOCK + pause,
            detail=detail,
        )
    )
    if detail is not None:
        note_on_job(session, chunk.job_id, detail)


def end_chunk(session: Session, chunk: Chunk, **counts: int) -> None:
    """Mark a chunk as done, in the transaction that contains its work.

    Args:
        session: That transaction.
        chunk: The chunk as it was claimed.
        **counts: Units to add to ``done``, ``failed`` and ``skipped``.

    Raises:
        LeaseLostError: if another worker has claimed the chunk; the caller must roll back.
        JobCancelledError: if the job was cancelled meanwhile; the caller must roll back, because
            the cancel may have removed what the job had stored.
    """
    added = {name: getattr(JobChunk, name) + count for name, count in counts.items() if count}
    ended = session.execute(
        _update(chunk)
        .values(state="done", lease_owner=None, lease_until=None, detail=None, **added)
        .returning(JobChunk.ordinal)
    ).first()
    if ended is None:
        raise LeaseLostError
    _add_to_job(session, chunk.job_id, counts)
    job = lock_job(session, chunk.job_id)
    if job is not None and job.is_cancel_requested:
        raise JobCancelledError


def note_on_job(session: Session, job_id: UUID, sentence: str | None) -> None:
    """Set the message of an open job, such as the progress of a long chunk; None removes it."""
    session.execute(
        update(Job)
        .where(Job.id == job_id, Job.state.in_(OPEN_STATES))
        .values(detail=sentence)
        .execution_options(synchronize_session=False)
    )


def fail_chunk(session: Session, chunk: Chunk, detail: str, *, is_final: bool = False) -> None:
    """Record a failed attempt: queue the chunk again after a pause, or fail it permanently.

    Does nothing if the chunk is no longer ours.
    """
    row = session.scalar(
        select(JobChunk)
        .where(*_owned(chunk))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        return
    if is_final or row.attempts >= MAX_ATTEMPTS:
        _fail_for_good(session, row, detail)
        return
    pause = min(timedelta(seconds=2.0**row.attempts), LONGEST_PAUSE)
    row.state, row.lease_owner, row.lease_until = "queued", None, None
    row.due_at, row.detail = DATABASE_CLOCK + pause, detail
    add_event(session, row.job_id, "attempt failed", detail)
    session.flush()


def _fail_expired(session: Session, job_id: UUID) -> None:
    """Fail the chunks whose workers died too many times."""
    dead = select(JobChunk).where(
        JobChunk.job_id == job_id,
        JobChunk.state == "running",
        JobChunk.attempts >= MAX_ATTEMPTS,
        is_past(JobChunk.lease_until, LONGEST_LEASE),
    )
    for row in session.scalars(dead.with_for_update(skip_locked=True)).all():
        _fail_for_good(
            session,
            row,
            f"Its worker ended unexpectedly {row.attempts} times: see the workers' logs; too "
            "little memory is the usual cause.",
        )


def _fail_for_good(session: Session, row: JobChunk, detail: str) -> None:
    remaining = row.units - row.done - row.failed - row.skipped
    row.state, row.lease_owner, row.lease_until = "failed", None, None
    row.detail = detail
    row.failed += remaining
    add_event(session, row.job_id, "chunk failed", detail)
    session.flush()
    session.execute(
        update(JobItem)
        .where(*_items_of(row), JobItem.state == "queued")
        .values(state="failed", reason=detail)
    )
    _add_to_job(session, row.job_id, {"failed": remaining})


def _add_to_job(session: Session, job_id: UUID, counts: dict[str, int]) -> None:
    # Last in the transaction: other workers that end a chunk of this job wait for this row.
    added = {name: getattr(Job, name) + count for name, count in counts.items() if count}
    if added:
        session.execute(update(Job).where(Job.id == job_id).values(**added))


def _update(chunk: Chunk) -> Any:
    return update(JobChunk).where(*_owned(chunk)).execution_options(synchronize_session=False)


def _owned(chunk: Chunk) -> tuple[Any, ...]:
    return (
        JobChunk.job_id == chunk.job_id,
        JobChunk.phase == chunk.phase,
        JobChunk.ordinal == chunk.ordinal,
        JobChunk.state == "running",
        JobChunk.lease_owner == chunk.lease_owner,
        JobChunk.claim == chunk.claim,
    )


def _items_of(row: JobChunk) -> tuple[Any, ...]:
    return (
        JobItem.job_id == row.job_id,
        JobItem.ordinal >= row.first_item,
        JobItem.ordinal < row.first_item + row.units,
    )


def _to_chunk(session: Session, row: JobChunk) -> Chunk:
    items = session.execute(
        select(JobItem.ordinal, JobItem.name)
        .where(*_items_of(row), JobItem.state == "queued")
        .order_by(JobItem.ordinal)
    )
    columns = {name: getattr(row, name) for name in Chunk.__dataclass_fields__.keys() - {"items"}}
    pending = tuple(PendingItem(ordinal - row.first_item, name) for ordinal, name in items)
    return Chunk(**columns | {"phase": Phase(row.phase), "items": pending})


_MAX_JOBS_SEARCHED = 300  # a message takes milliseconds, and the next check comes in seconds


def jobs_due(session: Session) -> tuple[UUID, ...]:
    """Open jobs that need a worker, oldest first; at most 300.

    Such a job has a chunk that is due or whose worker is considered dead. One query finds them all:
    with thousands of waiting jobs, checking each one took longer than the interval between checks.
    """
    is_due = exists().where(JobChunk.job_id == Job.id, *_is_due())
    jobs = select(Job.id).where(Job.state.in_(OPEN_STATES), ~Job.is_cancel_requested, is_due)
    return tuple(session.scalars(jobs.order_by(Job.created_at).limit(_MAX_JOBS_SEARCHED)))


def jobs_at_their_end(session: Session) -> tuple[UUID, ...]:
    """Open jobs that may have to be ended as cancelled or failed, oldest first; at most 300."""
    of_job = JobChunk.job_id == Job.id
    undone = exists().where(of_job, JobChunk.phase < Phase.FINISH, JobChunk.state.in_(OPEN_STATES))
    broken = exists().where(of_job, JobChunk.state == "failed")
    jobs = select(Job.id).where(
        Job.state.in_(OPEN_STATES), or_(Job.is_cancel_requested, and_(~undone, broken))
    )
    return tuple(session.scalars(jobs.order_by(Job.created_at).limit(_MAX_JOBS_SEARCHED)))


def open_job_load(session: Session) -> dict[str, tuple[int, float]]:
    """For each open state, the number of jobs and the age of the oldest job in seconds."""
    age = func.extract("epoch", DATABASE_CLOCK - func.min(Job.created_at))
    rows = session.execute(
        select(Job.state, func.count(), age).where(Job.state.in_(OPEN_STATES)).group_by(Job.state)
    )
    load = {state: (int(number), max(0.0, float(age_s))) for state, number, age_s in rows}
    return {state: load.get(state, (0, 0.0)) for state in OPEN_STATES}
