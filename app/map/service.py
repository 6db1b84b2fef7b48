"""The map: draw it, place new glitches, report its state."""

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from app.core.access import Principal, Role, require_role
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError
from app.core.postgres.partitions import has_rows
from app.glitches.tables import Embedding, Glitch
from app.jobs.records import OPEN_STATES, JobRecord
from app.jobs.service import create_job, latest_job
from app.jobs.tables import Job
from app.map import records
from app.map.records import KIND, MAX_LAID_OUT, MIN_GLITCHES, MapState
from app.map.tables import Projection
from app.models import checkpoints

DRAW, PLACE = "draw", "place"
SMALLEST_SAMPLE, LARGEST_SAMPLE = 16, 100_000
_SCHEDULER = "scheduler"


def start_drawing(
    session: Session, *, principal: Principal, sample: int = MAX_LAID_OUT
) -> JobRecord:
    """Start a job that draws the whole map again; the old map is used until the new one is ready.

    UMAP lays out at most ``sample`` glitches; the others are placed among them.

    Raises:
        PermissionDeniedError: if the caller may only read.
        InvalidRequestError: if the sample is too small or too large.
        NotReadyError: if no checkpoint is active.
        ConflictError: if too few glitches have an embedding.
    """
    require_role(principal, Role.SUBMITTER)
    if not SMALLEST_SAMPLE <= sample <= LARGEST_SAMPLE:
        raise InvalidRequestError(
            f"The sample must be from {SMALLEST_SAMPLE} to {LARGEST_SAMPLE:,} glitches."
        )
    checkpoint = checkpoints.active_checkpoint(session)
    if not has_rows(session, checkpoint.id, MIN_GLITCHES):
        raise ConflictError(
            f"A map needs {MIN_GLITCHES} glitches at least: upload some first, then draw it."
        )
    return _start(session, DRAW, checkpoint.id, principal.name, sample=sample)


def start_placing(session: Session, *, principal: Principal) -> JobRecord:
    """Start a job that places new glitches on the map; the others do not move."""
    require_role(principal, Role.SUBMITTER)
    projection = current_projection(session)
    return _start(session, PLACE, projection.checkpoint_id, principal.name)


def redraw_after_removal(session: Session, author: str) -> None:
    """Redraw the map, if there is one, after glitches were removed.

    New glitches are placed among those that UMAP laid out, which may be the removed ones. If too
    few glitches are left, the map is deleted.
    """
    checkpoint_id = checkpoints.active_id(session)
    if checkpoint_id is None or latest_projection(session, checkpoint_id) is None:
        return
    if has_rows(session, checkpoint_id, MIN_GLITCHES):
        _start(session, DRAW, checkpoint_id, author)
    else:
        session.execute(delete(Projection).where(Projection.checkpoint_id == checkpoint_id))


def request_due_job(session: Session) -> JobRecord | None:
    """Start the job that the map needs, if any; called regularly.

    New glitches are placed. After a change of the checkpoint the map is drawn for the new one, if
    there was a map before; a failed or cancelled drawing is not repeated automatically. The first
    map must be requested, because it takes a worker some time.
    """
    checkpoint_id = checkpoints.active_id(session)
    if checkpoint_id is None:
        return None
    if latest_projection(session, checkpoint_id) is not None:
        return request_placing(session)
    has_map = session.scalar(select(Projection.id).where(Projection.is_ready).limit(1))
    key = _key(DRAW, checkpoint_id)
    is_tried = session.scalar(select(Job.id).where(Job.kind == KIND, Job.key == key).limit(1))
    if has_map is None or is_tried or not has_rows(session, checkpoint_id, MIN_GLITCHES):
        return None
    return _start(session, DRAW, checkpoint_id, _SCHEDULER)


def request_placing(session: Session) -> JobRecord | None:
    """Start placing new glitches, if there is a map and there are new ones."""
    checkpoint_id = checkpoints.active_id(session)
    latest = session.scalar(select(Glitch.id).order_by(Glitch.id.desc()).limit(1))
    if checkpoint_id is None or latest is None:
        return None
    placed = session.scalar(_latest(checkpoint_id).with_only_columns(Projection.last_glitch_id))
    if placed is None or latest <= placed:
        return None
    return _start(session, PLACE, checkpoint_id, _SCHEDULER)


def latest_projection(session: Session, checkpoint_id: int) -> records.Projection | None:
    """Return the map of a checkpoint; None if none is ready."""
    row = session.scalar(_latest(checkpoint_id))
    return None if row is None else records.Projection.model_validate(row)


def _latest(checkpoint_id: int) -> Select[Projection]:
    return (
        select(Projection)
        .where(Projection.checkpoint_id == checkpoint_id, Projection.is_ready)
        .order_by(Projection.id.desc())
        .limit(1)
    )


def current_projection(session: Session) -> records.Projection:
    """Return the map of the active checkpoint."""
    projection = latest_projection(session, checkpoints.active_checkpoint(session).id)
    if projection is None:
        raise NotFoundError("The map has not been drawn yet: `POST /map` has a worker draw it.")
    return projection


def map_state(session: Session) -> MapState:
    """Return the state of the map.

    Raises:
        NotReadyError: if no checkpoint is active.
    """
    checkpoint = checkpoints.active_checkpoint(session)
    job = latest_job(session, KIND)
    is_shown = job is not None and (job.state in OPEN_STATES or job.state == "failed")
    of_checkpoint = select(func.count()).where(Embedding.checkpoint_id == checkpoint.id)
    n_embedded = session.scalar(of_checkpoint)
    return MapState(
        checkpoint=checkpoint.name,
        projection=latest_projection(session, checkpoint.id),
        n_embedded=n_embedded or 0,
        job=job if is_shown else None,
    )


def _start(
    session: Session, act: str, checkpoint_id: int, author: str, **more: object
) -> JobRecord:
    parameters = {"act": act, "checkpoint_id": checkpoint_id, **more}
    return create_job(session, KIND, parameters, author, key=_key(act, checkpoint_id))


def _key(act: str, checkpoint_id: int) -> str:
    return f"{act} {checkpoint_id}"
