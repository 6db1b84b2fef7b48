"""What pages need beyond single records: tallies, judgements, views, who is logged in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import numpy as np
from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.glitches.records import GlitchFilters, GlitchRecord, ViewRecord
from app.glitches.selection import matching, select_glitches, to_record, view_record
from app.glitches.tables import Embedding, Glitch, GlitchTally, View
from app.models.checkpoints import active_id
from glitch.codec import unpack_view
from glitch.novelty import Judgement
from glitch.views import Preprocessing, Views


@dataclass(frozen=True)
class ClassTally:
    """How many glitches carry one current label; ``name`` is None for those without one."""

    name: str | None
    total: int


def tally_by_class(
    session: Session,
    filters: GlitchFilters = GlitchFilters(),  # noqa: B008  (frozen)
) -> tuple[ClassTally, ...]:
    """How many of the glitches that pass the filters are of each class, most frequent first.

    Raises:
        InvalidRequestError: if a filter makes no sense.
        NotReadyError: if novelty is asked for and no checkpoint is active.
    """
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
    """The latest glitch of each class, by the class's name; one seen in a detector if there is."""
    latest = [
        select(Glitch.id)
        .where(Glitch.class_id == GlitchClass.id, Glitch.is_simulated.is_(is_simulated))
        .order_by(Glitch.id.desc())
        .limit(1)
        .correlate(GlitchClass)
        .scalar_subquery()
        for is_simulated in (False, True)
    ]
    # By themselves, so that each is one look into an index however many glitches a class has.
    chosen = session.scalars(select(func.coalesce(*latest)).select_from(GlitchClass)).all()
    rows = session.execute(select_glitches().where(Glitch.id.in_(set(chosen) - {None})))
    records = [to_record(row) for row in rows]
    return {record.label: record for record in records if record.label is not None}


def judgements_of(session: Session, glitch_ids: Sequence[UUID]) -> dict[UUID, Judgement]:
    """How novel each of these glitches was found under the active checkpoint.

    Glitches that it has not embedded are absent from the answer, and without an active checkpoint
    all are.
    """
    active = active_id(session) if glitch_ids else None
    if active is None:
        return {}
    rows = session.execute(
        select(
            Embedding.glitch_id,
            Embedding.novelty_score,
            Embedding.p_value,
            Embedding.is_judged,
            Embedding.not_judged_reason,
        ).where(Embedding.checkpoint_id == active, Embedding.glitch_id.in_(glitch_ids))
    )
    return {
        glitch_id: Judgement(score, p_value, is_judged, reason)
        for glitch_id, score, p_value, is_judged, reason in rows
    }


def list_views(session: Session, glitch_id: UUID) -> tuple[ViewRecord, ...]:
    """All views of a glitch as stored, shortest window first."""
    rows = session.scalars(select(View).where(View.glitch_id == glitch_id).order_by(View.duration))
    return tuple(map(view_record, rows))


def nearest_in_time(session: Session, gps_time: Decimal) -> tuple[GlitchRecord, ...]:
    """The last glitch before a GPS time (s) and the first one after it, where there are such."""
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
    """The views of stored glitches, on the grid of this recipe.

    Raises:
        GlitchError: if one has a window that the recipe does not have.
    """
    shape = (len(recipe.durations_s), recipe.n_frequency, recipe.n_time)
    values = {one: np.zeros(shape, dtype=np.float32) for one in glitch_ids}
    observed = {one: np.zeros(shape[:2], dtype=np.bool_) for one in glitch_ids}
    for view in session.scalars(select(View).where(View.glitch_id.in_(glitch_ids))):
        index = recipe.view_index(view.duration)
        values[view.glitch_id][index] = unpack_view(view.packed, shape[1:])
        observed[view.glitch_id][index] = view_record(view).observed
    session.expunge_all()  # or the session would keep every picture it has seen
    return {one: Views(values[one], observed[one], recipe) for one in glitch_ids}
