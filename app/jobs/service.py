"""Jobs: create, read, cancel, retry."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from app.core.access import Principal, Role
from app.core.errors import ConflictError, PermissionDeniedError, check_choice, required
from app.core.paging import Page, check_limit, cut_page, read_page, wrong_cursor
from app.jobs import records
from app.jobs.finalising import DATABASE_CLOCK, finalise, lock_job
from app.jobs.notify import notify_after_commit
from app.jobs.records import OPEN_STATES, JobRecord, Phase
from app.jobs.registry import check_kind
from app.jobs.tables import ITEM_STATES, JOB_STATES, OPEN, Job, JobChunk, JobEvent, JobItem

LARGEST_PAGE = 500
_UPKEEP = ("index", "judge", "project")
_UPKEEP_RETENTION = timedelta(days=90)
INPUTS_REMOVED = "inputs removed"  # event of a job whose input files were deleted


def create_job(
    session: Session,
    kind: str,
    parameters: Mapping[str, Any],
    author: str,
    *,
    key: str | None = None,
) -> JobRecord:
    """Store a job; workers are notified after the caller has committed.

    ``parameters`` are JSON values without secrets. If a job of this kind with the same ``key`` is
    open, that job is returned instead; ConflictError if it ended at this moment.
    """
    check_kind(kind)
    created = session.scalar(
        insert(Job)
        .values(kind=kind, key=key, parameters=dict(parameters), author=author)
        .on_conflict_do_nothing(index_elements=[Job.kind, Job.key], index_where=text(OPEN))
        .returning(Job)
    )
    if created is None:
        existing = session.scalar(
            select(Job).where(Job.kind == kind, Job.key == key, Job.state.in_(OPEN_STATES))
        )
        if existing is None:  # it ended in the meantime
            raise ConflictError("An identical job has just ended: send the request again.")
        return to_record(existing)
    for phase in (Phase.PLAN, Phase.FINISH):
        session.add(JobChunk(job_id=created.id, phase=phase, ordinal=0, payload={}))
    add_event(session, created.id, "created", f"by {author}")
    session.flush()
    notify_after_commit(session, created.id)
    return to_record(created)


def get_job(session: Session, job_id: UUID) -> JobRecord:
    """The current state of a job; reads one row, however many items the job has.

    Raises:
        NotFoundError: if the job does not exist.
    """
    return to_record(_get(session, job_id))


def list_jobs(
    session: Session,
    *,
    kind: str | None = None,
    state: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
    number: int | None = None,
) -> Page[JobRecord]:
    """List jobs, latest first: the page after a cursor, or of a number.

    Raises:
        InvalidRequestError: if the state, the limit or the cursor is invalid.
    """
    check_limit(limit, LARGEST_PAGE)
    if state is not None:
        check_choice(state, JOB_STATES, "state")
    query = select(Job)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if state is not None:
        query = query.where(Job.state == state)
    order = (Job.created_at, True), (Job.id, True)
    return read_page(
        session, query, lambda row: to_record(row[0]), order, limit, cursor=cursor, number=number
    )


def latest_job(session: Session, kind: str) -> JobRecord | None:
    """Latest job of a kind; None if there is none."""
    return next(iter(list_jobs(session, kind=kind, limit=1).items), None)


def remove_old_upkeep(session: Session) -> int:
    """Delete old jobs of the service's own maintenance, if a later one succeeded; their number.

    The latest successful job of each kind and checkpoint is kept, because its result is displayed.
    """
    later = aliased(Job)
    about = Job.parameters["checkpoint_id"].astext
    same_checkpoint = later.parameters["checkpoint_id"].astext.is_not_distinct_from(about)
    is_followed = exists().where(
        later.kind == Job.kind,
        later.state == "succeeded",
        later.created_at > Job.created_at,
        same_checkpoint,
    )
    removed = session.scalars(
        delete(Job)
        .where(
            Job.kind.in_(_UPKEEP),
            Job.state.not_in(OPEN_STATES),
            Job.finished_at < DATABASE_CLOCK - _UPKEEP_RETENTION,
            is_followed,
        )
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return len(removed.all())


def list_items(
    session: Session,
    job_id: UUID,
    *,
    state: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
    offset: int = 0,
) -> Page[records.JobItem]:
    """List the inputs of a job with their results, in order."""
    _get(session, job_id)
    check_limit(limit, LARGEST_PAGE)
    query = select(JobItem).where(JobItem.job_id == job_id).order_by(JobItem.ordinal).offset(offset)
    if state is not None:
        check_choice(state, ITEM_STATES, "state")
        query = query.where(JobItem.state == state)
    if cursor is not None:
        if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
            raise wrong_cursor()
        query = query.where(JobItem.ordinal > int(cursor))
    rows, mark = cut_page(session.scalars(query.limit(limit + 1)).all(), limit)
    items = tuple(map(records.JobItem.model_validate, rows))
    return Page(items, None if mark is None else str(mark.ordinal))


def list_events(
    session: Session, job_id: UUID, *, after: int = 0, limit: int = 200
) -> tuple[records.JobEvent, ...]:
    """Events of a job with numbers greater than ``after``, in order."""
    rows = session.scalars(
        select(JobEvent)
        .where(JobEvent.job_id == job_id, JobEvent.id > after)
        .order_by(JobEvent.id)
        .limit(limit)
    )
    return tuple(map(records.JobEvent.model_validate, rows))


def cancel_job(session: Session, job_id: UUID, principal: Principal) -> JobRecord:
    """Request that a job stop. Stored results are kept; running chunks stop within seconds.

    Does nothing if the job is cancelled already or a cancel was requested.

    Raises:
        NotFoundError: if the job does not exist.
        PermissionDeniedError: if the job belongs to somebody else and the role is below reviewer.
        ConflictError: if the job has ended otherwise.
    """
    job = _get(session, job_id, is_locked=True)
    _check_owner(job, principal, "cancel")
    if job.state == "cancelled" or (job.is_cancel_requested and job.state in OPEN_STATES):
        return to_record(job)
    if job.state not in OPEN_STATES:
        raise ConflictError(f"This job has {job.state} already: there is nothing to cancel.")
    job.is_cancel_requested = True
    add_event(session, job.id, "cancel requested", f"by {principal.name}")
    session.flush()
    finalise(session, job.id)
    notify_after_commit(session, job.id)
    return get_job(session, job_id)


def retry_job(session: Session, job_id: UUID, principal: Principal) -> JobRecord:
    """Queue failed chunks, or chunks that a cancelled job left undone, again; keep the others.

    Raises:
        NotFoundError: if the job does not exist.
        PermissionDeniedError: if the job belongs to somebody else and the role is below reviewer.
        ConflictError: if it is open, nothing failed, its files were deleted, or a newer job does
            it.
    """
    job = _get(session, job_id, is_locked=True)
    _check_owner(job, principal, "retry")
    if not to_record(job).can_be_retried:
        why = "is still at work" if job.state in OPEN_STATES else "succeeded with nothing failed"
        raise ConflictError(f"This job {why}: there is nothing to retry.")
    if session.scalar(
        select(JobEvent.id).where(JobEvent.job_id == job.id, JobEvent.name == INPUTS_REMOVED)
    ):
        raise ConflictError(
            "The files of this job are no longer kept: send the batch again. Glitches that it "
            "stored are recognised."
        )
    if job.key is not None and session.scalar(
        select(Job.id).where(
            Job.kind == job.kind, Job.key == job.key, Job.state.in_(OPEN_STATES), Job.id != job.id
        )
    ):
        raise ConflictError("A newer job is doing the same already: follow that one.")
    session.execute(
        update(JobItem)
        .where(JobItem.job_id == job.id, JobItem.state == "failed")
        .values(state="queued", reason=None)
    )
    reset = {"state": "queued", "failed": 0, "attempts": 0, "due_at": func.now(), "detail": None}
    has_to = or_(JobChunk.state == "failed", JobChunk.failed > 0, JobChunk.phase == Phase.FINISH)
    session.execute(update(JobChunk).where(JobChunk.job_id == job.id, has_to).values(reset))
    job.state, job.is_cancel_requested, job.failed = "queued", False, 0
    job.detail = job.finished_at = None
    add_event(session, job.id, "retried", f"by {principal.name}")
    session.flush()
    notify_after_commit(session, job.id)
    return to_record(job)


def add_event(session: Session, job_id: UUID, name: str, detail: str | None = None) -> None:
    """Add an event to the history of a job."""
    session.add(JobEvent(job_id=job_id, name=name, detail=detail))


def to_record(row: Job) -> JobRecord:
    """Convert a row to the record that services return."""
    return JobRecord(**{name: getattr(row, name) for name in JobRecord.__dataclass_fields__})


def _get(session: Session, job_id: UUID, *, is_locked: bool = False) -> Job:
    row = (
        lock_job(session, job_id) if is_locked else session.get(Job, job_id, populate_existing=True)
    )
    return required(row, f"There is no job {job_id}: see the list of jobs.")


def _check_owner(job: Job, principal: Principal, act: str) -> None:
    if principal.role < Role.REVIEWER and principal.name != job.author:
        raise PermissionDeniedError(
            f"Only {job.author}, a reviewer or an admin may {act} this job: ask one of them."
        )
