"""The map: the page, its points, details of points, and actions on a selection."""

import json
from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Query, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from app.classes.naming import list_classes, resolve_class_name, usable_class_names
from app.clusters.chosen import cluster_by_hand
from app.clusters.pages.display import STATE_TEXTS, cluster_href
from app.core.errors import NotReadyError
from app.core.wording import count
from app.frame.contexts import Card, PageContext
from app.frame.deps import (
    ForReaders,
    PageRoute,
    ReaderVisit,
    ReviewerVisit,
    ShortText,
    SubmitterVisit,
)
from app.frame.display import ORIGIN_TEXTS, address, card, stamp
from app.frame.failures import explain, see_other
from app.frame.palette import class_colour
from app.frame.render import SECURITY_HEADERS, environment
from app.glitches.exports.service import format_named
from app.glitches.records import GlitchFilters
from app.glitches.selection import glitches_by_id
from app.glitches.service import judgements_of
from app.jobs.pages.view import JobNote, job_href
from app.jobs.records import JobRecord
from app.map.columns import map_files
from app.map.records import BulkLabel, MapState, Projection
from app.map.region import read_region, resolve
from app.map.service import (
    MAX_AT_ONCE,
    label_selection,
    list_bulk_labels,
    map_state,
    start_drawing,
    start_placing,
    undo_selection,
)
from app.server.answers import export_answer, map_answer, map_ids_answer
from app.server.request_scope import RuntimeDep, SessionDep, TablePlace
from glitch import projection as layout


class MapPage(PageContext, template="map.html", section="map"):
    """The page with every glitch as a point."""

    is_drawn: bool
    is_empty_catalogue: bool
    layout: str  # id of the projection; another one has the points elsewhere
    heading: str
    drawn: str | None  # when, with which model and how it was drawn
    unplaced: str | None  # how many are not on it yet
    job: JobNote | None
    colours: str  # JSON: name of a class -> its colour; "" for no label
    words: str  # JSON: display names of cluster states and origins
    classes: tuple[str, ...]  # that may be used to label a selection
    max_selected: int
    acts: tuple[BulkLabel, ...]


class MapCards(PageContext, template="map_cards.html"):
    """Some glitches of the map, as cards or as table rows."""

    cards: tuple[Card, ...]
    is_table: bool


router = APIRouter(route_class=PageRoute)
_Region = Annotated[str, Form(max_length=64_000)]

CARDS_AT_ONCE = 24
# The drawing library compiles its WebGL calls from strings (docs/decisions/0007). Scripts are still
# loaded only from this server.
_POLICY = SECURITY_HEADERS["Content-Security-Policy"].replace(
    "script-src 'self'", "script-src 'self' 'unsafe-eval'"
)


@router.get("/map")
def map_page(visit: ReaderVisit) -> Response:
    """The page; it fetches its points separately."""
    try:
        state: MapState | None = map_state(visit.session)
    except NotReadyError:
        state = None
    projection = state.projection if state else None
    names = usable_class_names(visit.session)
    everything = ("", *(one.name for one in list_classes(visit.session)))
    page = MapPage(
        is_drawn=projection is not None,
        is_empty_catalogue=state is None or not state.n_embedded,
        layout=str(projection.id) if projection else "",
        heading=count(projection.n_points, "glitch", "glitches") if projection else "Map",
        drawn=_drawn(state.checkpoint, projection) if state and projection else None,
        unplaced=count(state.n_unplaced, "newer glitch is", "newer glitches are")
        if state and projection and state.n_unplaced
        else None,
        job=_job(state.job) if state and state.job else None,
        colours=json.dumps({name: class_colour(name) for name in everything}),
        words=json.dumps({"states": STATE_TEXTS, "origins": ORIGIN_TEXTS}),
        classes=names,
        max_selected=MAX_AT_ONCE,
        acts=list_bulk_labels(visit.session),
    )
    response = visit.show(page)
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@router.post("/map/draw")
def draw(visit: SubmitterVisit, act: ShortText = "draw") -> Response:
    """Start a job that draws the map again, or places new glitches on it."""
    if act == "place":
        start_placing(visit.session, principal=visit.principal)
        return see_other("/ui/map", done="placing")
    start_drawing(visit.session, principal=visit.principal)
    return see_other("/ui/map", done="drawing")


@router.get("/map/progress", dependencies=[ForReaders])
def progress(session: SessionDep) -> Response:
    """The state of the drawing job, for the page that waits."""
    job = map_state(session).job
    state = None if job is None else _job(job)
    return JSONResponse(
        {"is_open": bool(state and state.is_open), "sentence": state.sentence if state else ""}
    )


@router.get("/map/points")
def points(visit: ReaderVisit) -> Response:
    """The columns of `GET /map`, for the page."""
    return map_answer(visit.request, map_files(visit.session, visit.runtime.settings.data_dir))


@router.get("/map/ids/{version}", dependencies=[ForReaders])
def ids(runtime: RuntimeDep, version: str) -> Response:
    """The ids of the points of a version."""
    return map_ids_answer(runtime, version)


@router.get("/map/cards", dependencies=[ForReaders])
def cards(
    session: SessionDep,
    chosen: Annotated[list[UUID], Query(alias="id", max_length=CARDS_AT_ONCE)],
    look: Annotated[str, Query(max_length=10)] = "cards",
) -> Response:
    """Some glitches, as gallery cards or as table rows."""
    judgements = judgements_of(session, chosen)
    shown = tuple(
        card(one, judgement=judgements.get(key))
        for key, one in glitches_by_id(session, chosen).items()
    )
    page = MapCards(shown, is_table=look == "table")
    html = environment().get_template(page.template).render(page=page)
    return Response(html, media_type="text/html; charset=utf-8", headers=SECURITY_HEADERS)


@router.post("/map/region", dependencies=[ForReaders])
def region(runtime: RuntimeDep, region: _Region) -> Response:
    """The indices of the points in a region: unsigned 32-bit integers, little-endian."""

    def find() -> Response:
        indices = resolve(runtime.settings.data_dir, read_region(region)).indices
        return Response(indices.astype("<u4").tobytes(), media_type="application/octet-stream")

    return _or_sentence(find)


@router.post("/map/selection")
def act_on_selection(
    visit: ReviewerVisit, region: _Region, act: ShortText = "label", class_name: ShortText = ""
) -> Response:
    """Label the glitches of a region, with an existing or a new class, or make them a cluster."""

    def do() -> Response:
        ids = resolve(visit.runtime.settings.data_dir, read_region(region)).ids
        if act == "cluster":
            cluster_id = cluster_by_hand(visit.session, ids, author=visit.principal)
            of = str(cluster_id)
            page = address(cluster_href(cluster_id), done="selected", of=of, event="0")
            return JSONResponse({"page": page}, status_code=201)
        is_new = act == "new-class"
        name = class_name.strip() if is_new else resolve_class_name(visit.session, class_name)
        labelled = label_selection(
            visit.session, ids, name, reviewer=visit.principal, is_new=is_new
        )
        name = labelled.label
        content = {
            "class_name": name,
            "colour": class_colour(name),
            "href": f"/ui/map/labels/{labelled.id}/undo",
            "what": f"{count(labelled.n_glitches, 'glitch', 'glitches')} labelled {name}",
        }
        return JSONResponse(content, status_code=201)

    return _or_sentence(do, visit.session)


@router.post("/map/export", dependencies=[TablePlace, ForReaders])
def export(
    runtime: RuntimeDep,
    session: SessionDep,
    region: _Region,
    format: Annotated[str, Form(max_length=20)] = "csv",  # noqa: A002
) -> Response:
    """The glitches of a region, as a file."""
    ids = resolve(runtime.settings.data_dir, read_region(region)).ids
    filters = GlitchFilters(ids=tuple(ids))
    return export_answer(runtime, session, filters, format_named(format), "selection")


@router.post("/map/labels/{bulk_id}/undo")
def undo(visit: ReviewerVisit, bulk_id: UUID) -> Response:
    """Undo the labels of a selection."""
    undo_selection(visit.session, bulk_id, reviewer=visit.principal)
    return see_other("/ui/map", done="undone")


def _or_sentence(act: Callable[[], Response], session: Session | None = None) -> Response:
    """Return the result of an action, or its error as JSON, with nothing stored."""
    try:
        return act()
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        if session is not None:
            session.rollback()
        return JSONResponse({"detail": failure.sentence}, status_code=failure.status)


def _drawn(checkpoint: str, projection: Projection) -> str:
    n_placed = projection.n_points - projection.n_laid_out
    is_by_umap = projection.n_laid_out >= layout.FEWEST_FOR_UMAP
    method = f"laid out by {'UMAP' if is_by_umap else 'two principal directions'}"
    if n_placed:
        method = f"{projection.n_laid_out:,} {method}, {n_placed:,} placed among them"
    return f"Drawn {stamp(projection.created_at)} with {checkpoint}: {method}."


def _job(job: JobRecord) -> JobNote:
    if not job.is_open:
        sentence = f"The last drawing {job.state}: {job.detail or 'its page says why.'}"
    elif not job.total:
        sentence = job.detail or "A worker lays the map out: some seconds to some minutes."
    else:
        share = round(100 * (job.done + job.failed + job.skipped) / job.total)
        sentence = f"A worker places glitches on the map: {share} % of {job.total:,}."
    return JobNote(job_href(job), sentence, job.is_open)
