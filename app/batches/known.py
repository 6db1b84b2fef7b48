"""Rows of our own exports, sent back: which stored glitch each one is."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.glitches.tables import Glitch
from glitch.tables import Facts

_SAME_TIME = Decimal("1e-6")  # s; an older export gave times as floats alone


def known_glitches(session: Session, rows: Sequence[Facts]) -> dict[int, UUID]:
    """Stored glitches by the place of the row that names them.

    A row counts only where detector and time agree with what is stored: an id alone never says that
    two are the same.

    Rows that name no glitch of ours are passed over.
    """
    said = {place: row.glitch_id for place, row in enumerate(rows) if row.glitch_id}
    if not said:
        return {}
    ids = {text: one for text in said.values() if (one := _uuid(text)) is not None}
    names = set(said.values()) - ids.keys()
    stored = session.execute(
        select(Glitch.id, Glitch.gravityspy_id, Glitch.ifo, Glitch.gps_time).where(
            or_(Glitch.id.in_(ids.values()), Glitch.gravityspy_id.in_(names))
        )
    ).all()
    by_id = {one.id: one for one in stored}
    by_name = {one.gravityspy_id: one for one in stored}
    found: dict[int, UUID] = {}
    for place, text in said.items():
        match = by_id.get(ids[text]) if text in ids else by_name.get(text)
        if match is not None and agrees(rows[place], match.ifo, match.gps_time):
            found[place] = match.id
    return found


def agrees(row: Facts, ifo: str | None, gps_time: Decimal | None) -> bool:
    """Whether a row may be of the glitch with this detector and time.

    A table's file name gives all its rows a detector, also those of glitches without any.
    """
    if ifo not in (None, row.ifo) or (row.gps_time is None) != (gps_time is None):
        return False
    return gps_time is None or abs(Decimal(str(row.gps_time)) - gps_time) <= _SAME_TIME


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
