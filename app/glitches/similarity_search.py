"""The search that ``gwpy.table.GravitySpyTable.search`` requests.

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

from app.core.errors import InvalidRequestError, required
from app.glitches.neighbours import MAX_NEIGHBOURS, find_neighbours
from app.glitches.records import GlitchFilters, GlitchRecord
from app.glitches.service import find_glitch, get_embedding
from app.models import checkpoints
from glitch.gravityspy import is_spelled_like_an_id
from glitch.views import VIEW_DURATIONS_S

NO_SUBJECT = 1e20  # "no Zooniverse subject" in Gravity Spy's tables
NO_PICTURE = "?"  # "no picture" in Gravity Spy's tables; gwpy's download() skips it
MAX_IFOS = 10
EVERY_ERA = (Decimal(1126400000), Decimal(1584057618))  # s; sent by gwpy for "ALL"
_NUMBER = r"[0-9]{1,10}(?:\.[0-9]{1,9})?"
_ERA = re.compile(rf"event_time BETWEEN ({_NUMBER}) AND ({_NUMBER})", re.ASCII)
_IFOS = re.compile(r"'[A-Z][0-9]'(?:, ?'[A-Z][0-9]')*", re.ASCII)
_HOW_MANY = re.compile(r"[0-9]{1,5}", re.ASCII)
_DATABASE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)


@dataclass(frozen=True)
class SimilarityQuery:
    """A parsed similarity search."""

    image_id: str  # a Gravity Spy id or one of our ids
    how_many: int
    filters: GlitchFilters  # detectors and times; without bounds, unknown times pass too


def parse_similarity_query(
    *, howmany: str, imageid: str, era: str, ifo: str, database: str
) -> SimilarityQuery:
    """Parse the parameters of a similarity search; InvalidRequestError if one is invalid.

    The era that gwpy calls "ALL" selects every glitch. Applied as numbers, its bounds would leave
    out the first days of September 2015 (with GW150914) and pictures of unknown time.
    """
    if not _HOW_MANY.fullmatch(howmany) or not 1 <= int(howmany) <= MAX_NEIGHBOURS:
        raise InvalidRequestError(f"howmany must be a whole number from 1 to {MAX_NEIGHBOURS:,}.")
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
    if len(ifo) > 8 * MAX_IFOS or not _IFOS.fullmatch(ifo):
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
    """The glitches most similar to one, as gwpy expects them: equal-length lists by column.

    Nearest first under the active checkpoint. As in Gravity Spy's own service, the query glitch is
    the first row if it passes the filters on era and detectors.

    ``view_url`` gives the address of a view's PNG for (glitch id, window length in s).

    Raises:
        NotFoundError: if no glitch has that id, or it has no embedding. gwpy raises an HTTPError.
        NotReadyError: if no checkpoint is active.
    """
    text = f"There is no glitch {query.image_id} in this catalogue."
    searched = required(find_glitch(session, query.image_id), text)
    checkpoint = checkpoints.active_checkpoint(session)
    nearest = find_neighbours(
        session,
        vector=get_embedding(session, searched.id, checkpoint.id).mean,
        checkpoint_id=checkpoint.id,
        k=query.how_many,
        filters=query.filters,
    )
    glitches = [neighbour.glitch for neighbour in nearest]
    # A stable sort: other glitches at distance 0 follow the one searched for.
    glitches.sort(key=lambda glitch: glitch.id != searched.id)
    return {
        "ifo": [glitch.ifo for glitch in glitches],
        "peak_frequency": [glitch.peak_frequency for glitch in glitches],
        "links_subjects": [NO_SUBJECT for _ in glitches],
        "ml_label": [glitch.label or "" for glitch in glitches],
        "ml_confidence": [glitch.ml_confidence for glitch in glitches],
        "searchedID": [query.image_id for _ in glitches],
        "snr": [glitch.snr for glitch in glitches],
        "gravityspy_id": [glitch.public_id for glitch in glitches],
        "searchedzooID": [NO_SUBJECT for _ in glitches],
        **_picture_columns(glitches, view_url),
    }


def _picture_columns(
    glitches: list[GlitchRecord], view_url: Callable[[str, float], str]
) -> dict[str, list[Any]]:
    """Columns url1 to url4, by ascending window length.

    ``download()`` skips a row whose url1 is not an address, so a row without the shortest window
    gives that window's address too (the response is "not found", which gwpy ignores).
    """

    def url(glitch: GlitchRecord, duration_s: float) -> str:
        has_picture = duration_s in glitch.views or duration_s == VIEW_DURATIONS_S[0]
        return view_url(str(glitch.id), duration_s) if has_picture else NO_PICTURE

    return {
        f"url{number}": [url(glitch, duration_s) for glitch in glitches]
        for number, duration_s in enumerate(VIEW_DURATIONS_S, start=1)
    }
