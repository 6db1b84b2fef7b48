"""The search that ``gwpy.table.GravitySpyTable.search`` asks for, parsed by a strict grammar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session


@dataclass(frozen=True)
class SimilarityQuery:
    """A similarity search as understood."""

    image_id: str
    how_many: int
    gps_start: Decimal  # s
    gps_end: Decimal  # s
    ifos: tuple[str, ...]
    database: str


def parse_similarity_query(
    *, howmany: str, imageid: str, era: str, ifo: str, database: str
) -> SimilarityQuery:
    """The query that these parameters say, or InvalidRequestError that says what is wrong."""
    raise NotImplementedError


def similarity_search(
    session: Session, query: SimilarityQuery, *, view_url: Callable[[str, float], str]
) -> dict[str, list[Any]]:
    """Equal-length lists by column name, nearest first.

    ``view_url(glitch_id, duration_s)`` gives the absolute address of a view's PNG.
    """
    raise NotImplementedError
