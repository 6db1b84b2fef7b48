"""The search that ``gwpy.table.GravitySpyTable.search`` sends.

Parameters arrive as fragments of SQL, because the original service inserted them into its query.
Here a strict grammar parses them, and only the numbers and detector prefixes are used, as bound
parameters.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from app.core.errors import InvalidRequestError, NotFoundError
from app.glitches.neighbours import MOST_NEIGHBOURS, find_neighbours
from app.glitches.records import GlitchFilters, GlitchRecord
from app.glitches.service import find_glitch, get_embedding
from app.models import checkpoints
from glitch.gravityspy import is_spelled_like_an_id
from glitch.views import VIEW_DURATIONS_S

NO_SUBJECT = 1e20  # how Gravity Spy's tables write "no Zooniverse subject"
NO_PICTURE = "?"  # how they write "no picture", which gwpy's download() knows
MOST_IFOS = 10
EVERY_ERA = (Decimal(1126400000), Decimal(1584057618))  # s; what gwpy sends for "ALL"
_NUMBER = r"[0-9]{1,10}(?:\.[0-9]{1,9})?"
_ERA = re.compile(rf"event_time BETWEEN ({_NUMBER}) AND ({_NUMBER})", re.ASCII)
_IFOS = re.compile(r"'[A-Z][0-9]'(?:, ?'[A-Z][0-9]')*", re.ASCII)
_HOW_MANY = re.compile(r"[0-9]{1,5}", re.ASCII)
_DATABASE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True)
class SimilarityQuery:
    """A similarity search as understood."""

    image_id: str  # a Gravity Spy id, or one of ours
    how_many: int
    filters: GlitchFilters  # of detectors and times; no bounds let glitches of no known time pass


def parse_similarity_query(
    *, howmany: str, imageid: str, era: str, ifo: str, database: str
) -> SimilarityQuery:
    """The query that these parameters say.

    The era that gwpy calls "ALL" means every glitch: taken by its numbers it would leave out the
    first days of September 2015, GW150914 among them, and pictures of no known time.
    """
    if not _HOW_MANY.fullmatch(howmany) or not 1 <= int(howmany) <= MOST_NEIGHBOURS:
        raise InvalidRequestError(f"howmany must be a whole number from 1 to {MOST_NEIGHBOURS:,}.")
    if not is_spelled_like_an_id(imageid):
        raise InvalidRequestError(
            "imageid must be a Gravity Spy id such as 8FHTgA8MEu, or an id of this service."
        )
    span = _ERA.fullmatch(era)
    if span is None:
        raise InvalidRequestError(
            "era must read 'event_time BETWEEN a AND b' with two GPS times in seconds."
        )
    start, end = Decimal(span[1]), Decimal(span[2])
    is_all = (start, end) == EVERY_ERA
    if start > end:
        raise InvalidRequestError("era must give the earlier GPS time first.")
    if len(ifo) > 8 * MOST_IFOS or not _IFOS.fullmatch(ifo):
        raise InvalidRequestError("ifo must read like \"'H1', 'L1'\": detectors in single quotes.")
    if not _DATABASE.fullmatch(database):
        raise InvalidRequestError("database must be a name such as similarity_index_o3.")
    ifos = tuple(dict.fromkeys(part.strip(" '") for part in ifo.split(",")))
    first, last = (None, None) if is_all else (start, end)
    filters = GlitchFilters(ifos=ifos, gps_start=first, gps_end=last)
    return SimilarityQuery(imageid, int(howmany), filters)


def similarity_search(
    session: Session, query: SimilarityQuery, *, view_url: Callable[[str, float], str]
) -> dict[str, list[Any]]:
    """The glitches most like one, as gwpy expects them: equal-length lists by column name.

    Nearest first under the active checkpoint. As in Gravity Spy's own service, the glitch searched
    for is the first row if it lies in the era and the detectors asked for.

    ``view_url`` gives the address of a view's PNG for (glitch id, window length in s).

    Raises:
        NotFoundError: if no glitch has that id, or it has no embedding. gwpy shows an HTTPError.
        NotReadyError: if no checkpoint is active.
    """
    searched = find_glitch(session, query.image_id)
    if searched is None:
        raise NotFoundError(f"There is no glitch {query.image_id} in this catalogue.")
    checkpoint = checkpoints.active_checkpoint(session)
    nearest = find_neighbours(
        session,
        vector=get_embedding(session, searched.id, checkpoint.id).mean,
        checkpoint_id=checkpoint.id,
        k=query.how_many,
        filters=query.filters,
    )
    found = [neighbour.glitch for neighbour in nearest]
    found.sort(key=lambda glitch: glitch.id != searched.id)  # stable: twins at distance 0 follow
    return {
        "ifo": [glitch.ifo for glitch in found],
        "peak_frequency": [glitch.peak_frequency for glitch in found],
        "links_subjects": [NO_SUBJECT for _ in found],
        "ml_label": [glitch.label or "" for glitch in found],
        "ml_confidence": [glitch.ml_confidence for glitch in found],
        "searchedID": [query.image_id for _ in found],
        "snr": [glitch.snr for glitch in found],
        "gravityspy_id": [glitch.public_id for glitch in found],
        "searchedzooID": [NO_SUBJECT for _ in found],
        **_picture_columns(found, view_url),
    }


def _picture_columns(
    glitches: list[GlitchRecord], view_url: Callable[[str, float], str]
) -> dict[str, list[Any]]:
    """Columns url1 to url4, the windows ascending.

    ``download()`` skips a row whose url1 is no address, so a row without the shortest window gives
    that window's address all the same (it answers "not found", which gwpy passes over).
    """

    def url(glitch: GlitchRecord, duration_s: float) -> str:
        is_there = duration_s in glitch.views or duration_s == VIEW_DURATIONS_S[0]
        return view_url(str(glitch.id), duration_s) if is_there else NO_PICTURE

    return {
        f"url{number}": [url(glitch, duration_s) for glitch in glitches]
        for number, duration_s in enumerate(VIEW_DURATIONS_S, start=1)
    }
