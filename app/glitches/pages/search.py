"""The search box: an id, a Gravity Spy id, a GPS or UTC time, a class, or suggestions."""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from app.classes.naming import list_classes
from app.clusters.pages.display import cluster_href
from app.clusters.service import get_cluster
from app.core.errors import InvalidRequestError, NotFoundError
from app.core.wording import count
from app.frame.contexts import Fact, PageContext
from app.frame.deps import PageRoute, ReaderVisit
from app.frame.display import glitch_href, moment, seconds
from app.frame.failures import see_other
from app.frame.form_values import parse_time
from app.glitches.records import GlitchFilters
from app.glitches.service import find_glitch, list_glitches, nearest_in_time
from app.jobs.pages.view import job_href
from app.jobs.service import get_job
from glitch.gps import is_utc_date


class SearchPage(PageContext, template="search.html", section="catalogue"):
    """The results of a search without a single match."""

    heading: str
    sentence: str
    links: tuple[Fact, ...]  # suggestions: ``name`` is the text, ``value`` the address


router = APIRouter(route_class=PageRoute)

HALF_WIDTH_S = 5
_DAY_S = 86_400
_LONGEST = 200
_TIMELIKE = re.compile(r"[0-9][0-9.,:/+ TZUC-]*", re.ASCII | re.IGNORECASE)  # looks like a time
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NOTHING_FOUND = "Nothing found"


@router.get("/search")
def search(visit: ReaderVisit, q: Annotated[str, Query()] = "") -> Response:
    """Redirect to the single match, or show suggestions."""
    text = q.strip()
    if not text:
        return see_other("/ui/glitches")
    if len(text) > _LONGEST:
        sentence = f"That is longer than {_LONGEST} characters, so it is neither an id nor a time."
        return visit.show(SearchPage(_NOTHING_FOUND, sentence, ()), status=400)
    try:
        result = _find(visit.session, text)
    except InvalidRequestError as error:
        return visit.show(SearchPage(_NOTHING_FOUND, str(error), ()), status=400)
    if isinstance(result, str):
        return see_other(result)
    return visit.show(result, status=200 if result.links else 404)


def _find(session: Session, text: str) -> str | SearchPage:
    """Address of the match, or the page that explains why there is none.

    Raises:
        InvalidRequestError: if the text looks like a time but is not valid.
    """
    if text.isprintable():
        if (glitch := find_glitch(session, text)) is not None:
            return glitch_href(glitch.id)
        if _UUID.fullmatch(text):
            return _by_id(session, UUID(text))
        classes = _classes(session, text)
        if len(classes) == 1:
            return classes[0].value
        if classes:
            sentence = f"“{text}” is in the names of {count(len(classes), 'class', 'classes')}."
            return SearchPage("Which class?", sentence, classes)
        if _TIMELIKE.fullmatch(text):
            return _by_time(session, text)
    sentence = f"No glitch or class is called “{text}”, and it is not a time."
    return SearchPage(_NOTHING_FOUND, sentence, ())


def _by_id(session: Session, searched_id: UUID) -> str | SearchPage:
    """Address of the cluster or job with this id; no glitch has it."""
    try:
        return cluster_href(get_cluster(session, searched_id).id)
    except NotFoundError:
        pass
    try:
        return job_href(get_job(session, searched_id))
    except NotFoundError:
        sentence = f"No glitch, cluster or job has the id {searched_id}."
        return SearchPage(_NOTHING_FOUND, sentence, ())


def _classes(session: Session, text: str) -> tuple[Fact, ...]:
    """The class with this name, otherwise the classes whose names contain it."""
    searched_name = text.replace(" ", "_").casefold()
    names = [record.name for record in list_classes(session)]
    exact = [name for name in names if name.casefold() == searched_name]
    is_word = any(character.isalpha() for character in searched_name)
    chosen = exact or [name for name in names if is_word and searched_name in name.casefold()]
    return tuple(Fact(name, f"/ui/glitches?{urlencode({'label': name})}") for name in chosen)


def _by_time(session: Session, text: str) -> str | SearchPage:
    """Address of the glitches around a time or on a day, otherwise links to the nearest ones."""
    gps_time = parse_time(text)
    if is_utc_date(text):
        start, end, typed = gps_time, gps_time + _DAY_S, {"start": text, "end": text}
    else:
        half = Decimal(HALF_WIDTH_S)
        start, end = max(Decimal(0), gps_time - half), gps_time + half
        typed = {"start": str(start), "end": str(end)}
    glitches = list_glitches(session, GlitchFilters(gps_start=start, gps_end=end), limit=2).items
    if len(glitches) == 1 and not is_utc_date(text):
        return glitch_href(glitches[0].id)
    if glitches:
        return f"/ui/glitches?{urlencode(typed)}"
    links = tuple(
        Fact(_nearest_text(one.gps_time, gps_time), glitch_href(one.id))
        for one in nearest_in_time(session, gps_time)
        if one.gps_time is not None
    )
    period = "on that day" if is_utc_date(text) else f"within {HALF_WIDTH_S} s of that time"
    sentence = f"No glitch occurred {period}."
    if links:
        sentence += " The nearest before and after:" if len(links) > 1 else " The nearest:"
    return SearchPage(_NOTHING_FOUND, sentence, links)


def _nearest_text(glitch_time: Decimal, searched_time: Decimal) -> str:
    gap = float(abs(glitch_time - searched_time))
    span = next(text(gap) for limit, text in _SPANS if gap < limit)
    shown = moment(glitch_time)
    side = "later" if glitch_time > searched_time else "earlier"
    return f"GPS {glitch_time.normalize():f}, {shown.utc[:19] if shown else ''} UTC, {span} {side}"


# Upper limit of the gap in s for each unit.
_SPANS: tuple[tuple[float, Callable[[float], str | None]], ...] = (
    (120, seconds),
    (7_200, lambda gap_s: f"{gap_s / 60:.0f} minutes"),
    (2 * _DAY_S, lambda gap_s: f"{gap_s / 3600:.1f} hours"),
    (math.inf, lambda gap_s: f"{gap_s / _DAY_S:,.0f} days"),
)
