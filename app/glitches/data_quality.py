"""Which data-quality flags were active at the time of a glitch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

_ADD = text(
    "UPDATE glitch SET data_quality = ("
    "SELECT array_agg(DISTINCT name ORDER BY name) FROM unnest(data_quality || :names) AS name)"
    " WHERE id = :id AND NOT data_quality @> :names"
).bindparams(bindparam("names", type_=ARRAY(Text)), bindparam("id", type_=Uuid))


def add_flags(session: Session, flags: Mapping[UUID, Collection[str]]) -> None:
    """Add names of flags to glitches; none is ever taken away, and one that is there stays."""
    rows = [{"id": one, "names": sorted(names)} for one, names in sorted(flags.items()) if names]
    if rows:
        session.execute(_ADD, rows)
