"""Read glitches: one by id, or pages selected by filters; their views and novelty."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import BigInteger, and_, cast, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.classes.tables import GlitchClass
from app.core.database import as_uuid
from app.core.errors import InvalidRequestError, NotFoundError, required
from app.core.paging import Page, check_limit, cursor_id, cut_page, wrong_cursor
from app.glitches.records import EmbeddingRecord, GlitchFilters, GlitchRecord, ViewRecord
from app.glitches.selection import (
    check_filters,
    embedding_conditions,
    get_glitch,
    glitch_conditions,
    matching,
    select_glitches,
    to_record,
    view_record,
)
from app.glitches.tables import Embedding, Glitch, GlitchTally, View
from app.models.checkpoints import active_checkpoint, active_id
from app.models.tables import Checkpoint
from glitch.codec import unpack_view
from glitch.novelty import Judgement
from glitch.taxonomy import SimulatedClass
from glitch.views import Preprocessing, Views

LARGEST_PAGE = 1000
_AFTER, _BEFORE = "a", "b"  # start of a cursor: direction of its page
_CURSOR = re.compile(f"([{_AFTER}{_BEFORE}])([0-9a-f]{{32}})([0-9a-f]{{16}})")
_NO_FILTERS = GlitchFilters()
_JUDGEMENT: tuple[InstrumentedAttribute[Any], ...] = (  # columns of a ``Judgement``, in its order
    *(Embedding.novelty_score, Embedding.p_value, Embedding.is_judged),
    *(Embedding.not_judged_reason, Embedding.judged_within),
)


def find_glitch(session: Session, public_id: str) -> GlitchRecord | None:
    """The glitch with this Gravity Spy id, otherwise with this UUID; None if neither exists."""
    if "\0" in public_id:  # PostgreSQL's text cannot contain NUL, so no id does
        return None
    row = session.execute(select_glitches().where(Glitch.gravityspy_id == public_id)).first()
    if row is None and (glitch_id := as_uuid(public_id)):
        row = session.execute(select_glitches().where(Glitch.id == glitch_id)).first()
    return None if row is None else to_record(row)


def get_embedding(
    session: Session, glitch_id: UUID, checkpoint_id: int | None = None
) -> EmbeddingRecord:
    """The embedding of a glitch under a checkpoint (default: the active one).

    Raises:
        NotFoundError: if the glitch has no embedding under that checkpoint.
        NotReadyError: if no checkpoint is named and none is active.
    """
    if checkpoint_id is None:
        checkpoint_id = active_checkpoint(session).id
    row = session.execute(
        select(Embedding, Checkpoint.name)
        .join(Checkpoint, Checkpoint.id == Embedding.checkpoint_id)
        .where(Embedding.checkpoint_id == checkpoint_id, Embedding.glitch_id == glitch_id)
    ).first()
    text = f"Glitch {glitch_id} has no embedding under checkpoint {checkpoint_id}."
    embedding, name = required(row, text)
    return EmbeddingRecord(
        glitch_id=glitch_id,
        checkpoint_id=checkpoint_id,
        checkpoint=name,
        mean=np.asarray(embedding.mean, dtype=np.float32),
        log_variance=np.asarray(embedding.log_variance, dtype=np.float32),
        reconstruction_error=embedding.reconstruction_error,
        kl=embedding.kl,
        simulated_class=_predicted(embedding.simulated_class, embedding.simulated_probability),
        novelty=Judgement(*(getattr(embedding, column.key) for column in _JUDGEMENT)),
    )


def find_embedding(session: Session, glitch_id: UUID) -> EmbeddingRecord | None:
    """The embedding of a glitch under the active checkpoint; None if it has none."""
    try:
        return get_embedding(session, glitch_id)
    except NotFoundError:
        return None


def get_view(session: Session, glitch_id: UUID, duration_s: float) -> ViewRecord:
    """One stored view of a glitch; NotFoundError if it has no view of this length."""
    view = session.get(View, (glitch_id, duration_s))
    if view is None:
        present = ", ".join(f"{length_s:g}" for length_s in get_glitch(session, glitch_id).views)
        raise NotFoundError(
            f"Glitch {glitch_id} has no view of {duration_s:g} s: it has views of {present} s."
        )
    return view_record(view)


def list_glitches(
    session: Session,
    filters: GlitchFilters = _NO_FILTERS,
    *,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[GlitchRecord]:
    """A page of glitches, latest stored first.

    They are ordered by id, which increases with the time of storing, so that a page neither skips
    nor repeats a glitch while others are added.

    Filters on novelty refer to the active checkpoint. ``cursor`` is ``next`` of the preceding page,
    or ``previous`` of the following page, with the same filters.
    """
    check_limit(limit, LARGEST_PAGE)
    statement = matching(session, select_glitches(), filters)
    direction, mark = (_AFTER, None) if cursor is None else _read_cursor(cursor, filters)
    is_back = direction == _BEFORE
    if mark is not None:
        statement = statement.where(Glitch.id > mark if is_back else Glitch.id < mark)
    order = Glitch.id if is_back else Glitch.id.desc()
    rows, last = cut_page(session.execute(statement.order_by(order).limit(limit + 1)).all(), limit)
    if is_back and last is None:  # no full page before it: return the first page
        return list_glitches(session, filters, limit=limit)
    items = tuple(to_record(row) for row in (reversed(rows) if is_back else rows))
    return Page(
        items,
        _write_cursor(_AFTER, items[-1].id, filters) if last is not None else None,
        _write_cursor(_BEFORE, items[0].id, filters) if mark is not None and items else None,
    )


def _fingerprint(filters: GlitchFilters) -> str:
    return hashlib.sha256(repr(filters).encode()).hexdigest()[:16]


def _write_cursor(direction: str, mark: UUID, filters: GlitchFilters) -> str:
    return f"{direction}{mark.hex}{_fingerprint(filters)}"


def _read_cursor(cursor: str, filters: GlitchFilters) -> tuple[str, UUID]:
    """Direction of the page, and the glitch next to it."""
    parts = _CURSOR.fullmatch(cursor)
    if parts is None:
        raise InvalidRequestError("The cursor is damaged: start from the first page.")
    direction, mark, fingerprint = parts.groups()
    if fingerprint != _fingerprint(filters):
        raise InvalidRequestError(
            "The cursor belongs to other filters: keep them from page to page, or start from the "
            "first page."
        )
    return direction, UUID(mark)


SORTS: dict[str, InstrumentedAttribute[Any]] = {
    "time": Glitch.gps_time,
    "snr": Glitch.snr,
    "frequency": Glitch.peak_frequency,
    "duration": Glitch.duration,
    "class": GlitchClass.name,
    "detector": Glitch.ifo,
    "novelty": Embedding.p_value,
}


def list_sorted(
    session: Session,
    filters: GlitchFilters,
    *,
    by: str,
    is_falling: bool,
    limit: int,
    cursor: str | None = None,
) -> Page[GlitchRecord]:
    """A page of glitches, ordered by a quantity; unknown values come last in both directions.

    ``by`` is one of ``SORTS``; ``cursor`` is ``next`` of the preceding page in the same order.
    Filters on novelty refer to the active checkpoint.
    """
    check_limit(limit, LARGEST_PAGE)
    check_filters(filters)
    if by not in SORTS:
        raise InvalidRequestError(
            f"Glitches cannot be sorted by {by[:40]!r}: choose {', '.join(SORTS)}."
        )
    column = SORTS[by]
    under_active = and_(
        Embedding.glitch_id == Glitch.id, Embedding.checkpoint_id == active_checkpoint(session).id
    )
    joined = select_glitches().add_columns(column).outerjoin(Embedding, under_active)
    statement = joined.where(
        *glitch_conditions(session, filters), *embedding_conditions(filters)
    ).order_by((column.desc() if is_falling else column.asc()).nulls_last(), Glitch.id)
    if cursor is not None:
        mark = cursor_id(cursor)
        marked = session.execute(joined.where(Glitch.id == mark)).first()
        if marked is None:
            raise wrong_cursor()
        value = marked[-1]
        if value is None:
            statement = statement.where(column.is_(None), Glitch.id > mark)
        else:
            is_beyond = column < value if is_falling else column > value
            is_tied = and_(column == value, Glitch.id > mark)
            statement = statement.where(or_(is_beyond, is_tied, column.is_(None)))
    rows, last = cut_page(session.execute(statement.limit(limit + 1)).all(), limit)
    return Page(tuple(to_record(row) for row in rows), None if last is None else str(last[0].id))


@dataclass(frozen=True)
class ClassTally:
    """Number of glitches with one current label; ``name`` is None for unlabelled glitches."""

    name: str | None
    total: int


def tally_by_class(
    session: Session,
    filters: GlitchFilters = GlitchFilters(),  # noqa: B008  (frozen)
) -> tuple[ClassTally, ...]:
    """Number of glitches of each class that pass the filters, most frequent first."""
    is_kept = filters == GlitchFilters()
    class_id = (GlitchTally if is_kept else Glitch).class_id
    number = cast(func.sum(GlitchTally.n) if is_kept else func.count(), BigInteger)
    tallies = select(class_id, number.label("total")).group_by(class_id).having(number > 0)
    counted = matching(session, tallies, filters).subquery()
    rows = session.execute(
        select(GlitchClass.name, counted.c.total)
        .select_from(counted)
        .outerjoin(GlitchClass, GlitchClass.id == counted.c.class_id)
        .order_by(counted.c.total.desc(), GlitchClass.name)
    )
    return tuple(ClassTally(name, total) for name, total in rows)


def exemplars(session: Session) -> dict[str, GlitchRecord]:
    """The latest glitch of each class, by class name; from a detector if there is one."""
    latest = [
        select(Glitch.id)
        .where(Glitch.class_id == GlitchClass.id, Glitch.is_simulated.is_(is_simulated))
        .order_by(Glitch.id.desc())
        .limit(1)
        .correlate(GlitchClass)
        .scalar_subquery()
        for is_simulated in (False, True)
    ]
    # A separate query, so that each class needs one index lookup, however many glitches it has.
    chosen = session.scalars(select(func.coalesce(*latest)).select_from(GlitchClass)).all()
    rows = session.execute(select_glitches().where(Glitch.id.in_(set(chosen) - {None})))
    records = [to_record(row) for row in rows]
    return {record.label: record for record in records if record.label is not None}


def judgements_of(session: Session, glitch_ids: Sequence[UUID]) -> dict[UUID, Judgement]:
    """Novelty of these glitches under the active checkpoint.

    Glitches without an embedding under it are absent from the result. Without an active checkpoint
    the result is empty.
    """
    active = active_id(session) if glitch_ids else None
    if active is None:
        return {}
    rows = session.execute(
        select(Embedding.glitch_id, *_JUDGEMENT).where(
            Embedding.checkpoint_id == active, Embedding.glitch_id.in_(glitch_ids)
        )
    )
    return {glitch_id: Judgement(*judged) for glitch_id, *judged in rows}


def simulated_classes_of(
    session: Session, glitch_ids: Sequence[UUID]
) -> dict[UUID, SimulatedClass]:
    """The simulated classes that the active checkpoint predicts for these glitches, if it does."""
    rows = session.execute(
        select(Embedding.glitch_id, Embedding.simulated_class, Embedding.simulated_probability)
        .where(Embedding.glitch_id.in_(glitch_ids))
        .where(Embedding.checkpoint_id == active_id(session))
    )
    found = {one: _predicted(label, probability) for one, label, probability in rows}
    return {one: predicted for one, predicted in found.items() if predicted is not None}


def _predicted(label: str | None, probability: float | None) -> SimulatedClass | None:
    return None if label is None or probability is None else SimulatedClass(label, probability)


def list_views(session: Session, glitch_id: UUID) -> tuple[ViewRecord, ...]:
    """All stored views of a glitch, shortest window first."""
    rows = session.scalars(select(View).where(View.glitch_id == glitch_id).order_by(View.duration))
    return tuple(map(view_record, rows))


def nearest_in_time(session: Session, gps_time: Decimal) -> tuple[GlitchRecord, ...]:
    """The last glitch before a GPS time (s) and the first at or after it, if they exist."""
    before = (
        select_glitches()
        .where(Glitch.gps_time < gps_time)
        .order_by(Glitch.gps_time.desc())
        .limit(1)
    )
    after = select_glitches().where(Glitch.gps_time >= gps_time).order_by(Glitch.gps_time).limit(1)
    rows = (session.execute(statement).first() for statement in (before, after))
    return tuple(to_record(row) for row in rows if row is not None)


def stored_views(
    session: Session, glitch_ids: Sequence[UUID], recipe: Preprocessing
) -> dict[UUID, Views]:
    """The views of stored glitches, on the grid of this preprocessing."""
    shape = (len(recipe.durations_s), recipe.n_frequency, recipe.n_time)
    values = {one: np.zeros(shape, dtype=np.float32) for one in glitch_ids}
    observed = {one: np.zeros(shape[:2], dtype=np.bool_) for one in glitch_ids}
    for view in session.scalars(select(View).where(View.glitch_id.in_(glitch_ids))):
        index = recipe.view_index(view.duration)
        values[view.glitch_id][index] = unpack_view(view.packed, shape[1:])
        observed[view.glitch_id][index] = view_record(view).observed
    session.expunge_all()  # otherwise the session would keep every view in memory
    return {one: Views(values[one], observed[one], recipe) for one in glitch_ids}
