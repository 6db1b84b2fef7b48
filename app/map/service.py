"""The map: draw it, place new glitches, report its state, label a selection of glitches."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from app.classes.naming import create_class
from app.classes.service import withdraw_unchanged
from app.classes.tables import GlitchClass
from app.core.access import Principal, Role, record_event, require_role
from app.core.errors import ConflictError, InvalidRequestError, required
from app.core.postgres.partitions import has_rows
from app.glitches.labels import append_labels, revoke_labels
from app.glitches.tables import Embedding, Glitch
from app.jobs.records import OPEN_STATES, JobRecord
from app.jobs.service import create_job, latest_job
from app.jobs.tables import Job
from app.map import records
from app.map.records import KIND, MAX_LAID_OUT, MIN_GLITCHES, MapState
from app.map.tables import BulkLabel, Projection
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
    """Start a job that places new glitches on the map; the others do not move.

    Raises:
        PermissionDeniedError: if the caller may only read.
        NotReadyError: if no checkpoint is active.
        NotFoundError: if there is no map yet.
    """
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
    return required(projection, "The map has not been drawn yet: `POST /map` has a worker draw it.")


def map_state(session: Session) -> MapState:
    """Return the state of the map; NotReadyError if no checkpoint is active."""
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


MAX_AT_ONCE = 10_000  # glitches labelled in one transaction
_SOURCE = "map"


def label_selection(
    session: Session,
    glitch_ids: Collection[UUID],
    class_name: str,
    *,
    reviewer: Principal,
    is_new: bool = False,
) -> records.BulkLabel:
    """Label a selection of glitches, all or none.

    Duplicate ids count once. With ``is_new`` the class is created first, and the undo withdraws it.

    Raises:
        PermissionDeniedError: if the caller is not a reviewer.
        InvalidRequestError: if there are no or too many glitches, or if the class does not exist
            or its name is not valid.
        NotFoundError: if a glitch does not exist.
        ConflictError: if the class is retired, or the new one exists already.
    """
    require_role(reviewer, Role.REVIEWER)
    ids = set(glitch_ids)
    if not ids:
        raise InvalidRequestError("Nothing is selected: choose some glitches first.")
    if len(ids) > MAX_AT_ONCE:
        raise InvalidRequestError(
            f"{len(ids):,} glitches are more than the {MAX_AT_ONCE:,} that are labelled at "
            "once: choose fewer, for example by a time range."
        )
    if is_new:
        description = f"Named by {reviewer.name} from a selection of {len(ids):,} glitches."
        create_class(session, class_name, description=description, author=reviewer)
    label_ids = append_labels(session, ids, class_name, author=reviewer, source=_SOURCE)
    row = BulkLabel(
        class_id=session.scalars(
            select(GlitchClass.id).where(func.lower(GlitchClass.name) == class_name.lower())
        ).one(),
        label_ids=label_ids,
        made_class=is_new,
        author=reviewer.name,
    )
    session.add(row)
    session.flush()
    details = {"class_name": class_name, "n_glitches": len(label_ids)}
    record_event(session, reviewer.name, "label", "selection", row.id, **details)
    return get_bulk_label(session, row.id)


def undo_selection(session: Session, bulk_id: UUID, *, reviewer: Principal) -> records.BulkLabel:
    """Undo the labels of a selection together.

    A label that somebody added to one of the glitches since stays. A class that was created with
    them is withdrawn too, unless it was used or changed since.
    """
    require_role(reviewer, Role.REVIEWER)
    found = session.get(BulkLabel, bulk_id, with_for_update=True, populate_existing=True)
    row = required(found, f"No selection was labelled under {bulk_id}.")
    if row.undone_at is not None:
        raise ConflictError(f"These labels were undone already, by {row.undone_by}.")
    n_revoked = revoke_labels(session, row.label_ids, reviewer=reviewer)
    if row.made_class:
        withdraw_unchanged(session, row.class_id, author=reviewer)
    row.undone_at, row.undone_by = func.now(), reviewer.name
    record_event(session, reviewer.name, "undo", "selection", bulk_id, n_revoked=n_revoked)
    session.flush()
    session.expire_all()
    return get_bulk_label(session, bulk_id)


def get_bulk_label(session: Session, bulk_id: UUID) -> records.BulkLabel:
    """Return one labelled selection."""
    row = session.execute(_ACTS.where(BulkLabel.id == bulk_id)).first()
    text = f"No selection was labelled under {bulk_id}."
    return records.BulkLabel.model_validate(required(row, text))


def list_bulk_labels(session: Session, *, limit: int = 5) -> tuple[records.BulkLabel, ...]:
    """Return the latest labelled selections, latest first."""
    rows = session.execute(_ACTS.order_by(BulkLabel.created_at.desc()).limit(limit))
    return tuple(records.BulkLabel.model_validate(row) for row in rows)


_ACTS: Select[*tuple[Any, ...]] = select(
    BulkLabel.id,
    GlitchClass.name.label("label"),
    func.cardinality(BulkLabel.label_ids).label("n_glitches"),
    BulkLabel.author,
    BulkLabel.created_at,
    BulkLabel.undone_at,
    BulkLabel.undone_by,
).join(GlitchClass, GlitchClass.id == BulkLabel.class_id)
