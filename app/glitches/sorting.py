"""The catalogue in another order than that of storing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.classes.tables import GlitchClass
from app.core.errors import InvalidRequestError
from app.core.paging import Page, check_limit, cursor_id, cut_page, wrong_cursor
from app.glitches.records import GlitchFilters, GlitchRecord
from app.glitches.selection import (
    check_filters,
    embedding_conditions,
    glitch_conditions,
    select_glitches,
    to_record,
)
from app.glitches.tables import Embedding, Glitch
from app.models.checkpoints import active_checkpoint

SORTS: dict[str, InstrumentedAttribute[Any]] = {
    "time": Glitch.gps_time,
    "snr": Glitch.snr,
    "frequency": Glitch.peak_frequency,
    "duration": Glitch.duration,
    "class": GlitchClass.name,
    "detector": Glitch.ifo,
    "novelty": Embedding.p_value,
}
_LARGEST_PAGE = 1000


def list_sorted(
    session: Session,
    filters: GlitchFilters,
    *,
    by: str,
    is_falling: bool,
    limit: int,
    cursor: str | None = None,
) -> Page[GlitchRecord]:
    """A page of glitches, ordered by a quantity; what is not known comes last either way.

    Args:
        session: The transaction to read in.
        filters: Which glitches; those on novelty mean the active checkpoint.
        by: One of ``SORTS``.
        is_falling: The largest first.
        limit: Glitches on a page, 1 to 1000.
        cursor: ``next`` of the page before, asked with the same order.

    Raises:
        InvalidRequestError: an order that is none, a limit out of range, a filter without sense, a
            cursor that is damaged.
        NotReadyError: if no checkpoint is active.
    """
    check_limit(limit, _LARGEST_PAGE)
    check_filters(filters)
    if by not in SORTS:
        raise InvalidRequestError(f"There is no order by {by[:40]!r}: choose {', '.join(SORTS)}.")
    column = SORTS[by]
    under_active = and_(
        Embedding.glitch_id == Glitch.id,
        Embedding.checkpoint_id == active_checkpoint(session).id,
    )
    every = select_glitches().add_columns(column).outerjoin(Embedding, under_active)
    statement = every.where(
        *glitch_conditions(session, filters), *embedding_conditions(filters)
    ).order_by((column.desc() if is_falling else column.asc()).nulls_last(), Glitch.id)
    if cursor is not None:
        mark = cursor_id(cursor)
        marked = session.execute(every.where(Glitch.id == mark)).first()
        if marked is None:
            raise wrong_cursor()
        value = marked[-1]
        if value is None:
            statement = statement.where(column.is_(None), Glitch.id > mark)
        else:
            beyond = column < value if is_falling else column > value
            same = and_(column == value, Glitch.id > mark)
            statement = statement.where(or_(beyond, same, column.is_(None)))
    rows, last = cut_page(session.execute(statement.limit(limit + 1)).all(), limit)
    return Page(tuple(to_record(row) for row in rows), None if last is None else str(last[0].id))
