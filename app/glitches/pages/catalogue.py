"""The catalogue page: filters, counts, cards or a table, and labels for selected glitches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import QueryParams

from app.classes.naming import list_classes, resolve_class_name, usable_class_names
from app.core.access import Role
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError
from app.core.paging import Page
from app.core.wording import count
from app.frame.contexts import Card, ClassCount, Download, PageContext, Pages
from app.frame.deps import (
    BackPath,
    ForReaders,
    PageRoute,
    ReaderVisit,
    ReviewerVisit,
    Visit,
    remembered,
)
from app.frame.display import ORIGIN_TEXTS, card, export_links, frequency, seconds, snr
from app.frame.failures import see_other
from app.frame.render import local_path
from app.glitches.exports.service import format_named
from app.glitches.pages.query import (
    UNLABELLED,
    AddressedQuery,
    CatalogueQuery,
    parse_catalogue_query,
)
from app.glitches.records import GlitchFilters, GlitchRecord
from app.glitches.service import (
    ClassTally,
    judgements_of,
    list_glitches,
    list_sorted,
    simulated_classes_of,
    tally_by_class,
)
from app.map.service import label_selection, undo_selection
from app.server.answers import export_answer
from glitch.observing_runs import era
from glitch.views import VIEW_DURATIONS_S


@dataclass(frozen=True)
class TableColumn:
    """The head of a column."""

    title: str
    is_number: bool
    href: str | None  # toggles descending, ascending and no order
    order: str | None  # current order by this column, as aria-sort


@dataclass(frozen=True)
class CatalogueTable:
    """One page of the catalogue as a table."""

    columns: tuple[TableColumn, ...]
    titles: Mapping[str, str]  # of all available columns, by name
    shown: tuple[str, ...]
    rows: tuple[tuple[Card, tuple[str | None, ...]], ...]  # a glitch, and the texts of its cells


@dataclass(frozen=True)
class RefusedAction:
    """A failed labelling of selected glitches, with the input of its form."""

    sentence: str
    class_name: str
    chosen: frozenset[str]


class CataloguePage(PageContext, template="catalogue.html", section="catalogue"):
    """The catalogue: filters, counts by class and one page of cards."""

    total: str
    query: CatalogueQuery
    classes: tuple[str, ...]  # choices of the class filter
    errors: tuple[str, ...]
    windows: tuple[ClassCount, ...]  # links to other windows
    counts: tuple[ClassCount, ...]
    displays: tuple[ClassCount, ...]  # links to pictures and to the table
    ids: tuple[str, ...]  # of the glitches on this page
    cards: tuple[Card, ...]
    table: CatalogueTable | None
    address: str  # address of this page
    class_names: tuple[str, ...]
    undo: str | None  # id of the labelling that can be undone
    refused: RefusedAction | None  # a failed labelling
    exports: tuple[Download, ...]  # links to files of the whole selection
    pages: Pages
    is_empty_catalogue: bool


router = APIRouter(route_class=PageRoute)

COLUMNS_COOKIE_NAME = "glitch_columns"
PAGE_SIZE = 48  # fills whole rows of 2, 3, 4, 6 and 8 cards


@router.get("/glitches")
def catalogue(visit: ReaderVisit, query: AddressedQuery, event: UUID | None = None) -> Response:
    """One page of the glitches that pass the filters; ``event`` is the last labelling."""
    if query.is_table and not query.columns:
        column_names = visit.request.cookies.get(COLUMNS_COOKIE_NAME, "").split(".")
        query = replace(query, columns=tuple(name for name in column_names if name in _COLUMNS))
    return _shown(visit, query, undo=event)


def _shown(
    visit: Visit,
    query: CatalogueQuery,
    *,
    undo: UUID | None = None,
    refused: RefusedAction | None = None,
) -> Response:
    """Render the page, with the selection and input of a refused form."""
    page: Page[GlitchRecord] = Page()
    session = visit.session
    errors = query.errors
    if not errors:
        try:
            page = _page(session, query)
        except InvalidRequestError as error:
            errors = (str(error),)
    tallies = () if errors else tally_by_class(session, query.filters)
    ids = [glitch.id for glitch in page.items]
    judgements, simulated = judgements_of(session, ids), simulated_classes_of(session, ids)
    cards = tuple(
        card(
            glitch,
            wanted_s=query.window_s,
            judgement=judgements.get(glitch.id),
            simulated=simulated.get(glitch.id),
        )
        for glitch in page.items
    )
    total = sum(tally.total for tally in tallies)
    context = CataloguePage(
        total="Catalogue" if errors else count(total, "glitch", "glitches"),
        query=query,
        classes=tuple(record.name for record in list_classes(session)),
        errors=errors,
        windows=tuple(
            ClassCount(f"{length:g} s", query.href(window=f"{length:g}"), length == query.window_s)
            for length in VIEW_DURATIONS_S
        ),
        counts=_class_counts(query, tallies),
        displays=tuple(
            ClassCount(text, query.href(view=view), is_chosen=query.is_table == bool(view))
            for text, view in (("Pictures", None), ("Table", "table"))
        ),
        table=catalogue_table(query, page.items, cards) if query.is_table else None,
        address=query.href(),
        class_names=usable_class_names(session),
        undo=None if undo is None else str(undo),
        refused=refused,
        ids=tuple(one.id for one in cards),
        cards=() if query.is_table else cards,
        exports=export_links(
            query.href(after=None, window=None, view=None, sort=None),
            n_glitches=total,
            may_start=visit.principal.role >= Role.SUBMITTER,
        ),
        pages=Pages(
            first=query.href(after=None) if query.cursor else None,
            previous=query.href(after=page.previous) if page.previous else None,
            next=query.href(after=page.next) if page.next else None,
        ),
        is_empty_catalogue=not total and not query.is_narrowed and not errors,
    )
    return visit.show(context, status=400 if errors or refused else 200)


@router.post("/glitches/columns", dependencies=[ForReaders])
def choose_columns(
    request: Request,
    column: Annotated[list[str] | None, Form(max_length=20)] = None,
    back: BackPath = "/ui/glitches",
) -> Response:
    """Show the table with these columns, and remember them in a cookie."""
    chosen = tuple(name for name in _COLUMNS if name in {"class", *(column or ())})
    query = parse_catalogue_query(QueryParams(urlsplit(local_path(back)).query))
    target = replace(query, columns=chosen).href(view="table")
    return remembered(request, target, COLUMNS_COOKIE_NAME, ".".join(chosen))


@router.post("/glitches/chosen")
def act_on_chosen(
    *,
    visit: ReaderVisit,
    member: Annotated[list[UUID] | None, Form(max_length=PAGE_SIZE)] = None,
    shown: Annotated[str, Form(max_length=40 * PAGE_SIZE)] = "",
    class_name: Annotated[str, Form(max_length=100)] = "",
    act: Annotated[str, Form(max_length=10)] = "csv",
    back: BackPath = "/ui/glitches",
) -> Response:
    """Label the selected glitches, or export them as CSV; all on the page if none is selected."""
    if act != "label":
        ids = tuple(member or (UUID(one) for one in shown.split()))
        return export_answer(
            visit.runtime, visit.session, GlitchFilters(ids=ids), format_named("csv"), "glitches"
        )
    target = local_path(back, "/ui/glitches")
    try:
        name = resolve_class_name(visit.session, class_name)
        event = label_selection(visit.session, member or (), name, reviewer=visit.principal)
    except (InvalidRequestError, ConflictError, NotFoundError) as error:
        visit.session.rollback()
        query = parse_catalogue_query(QueryParams(urlsplit(target).query))
        refused = RefusedAction(str(error), class_name, frozenset(map(str, member or ())))
        return _shown(visit, query, refused=refused)
    return see_other(target, done="labelled", event=str(event.id))


@router.post("/glitches/chosen/undo")
def undo_chosen(
    visit: ReviewerVisit, bulk: Annotated[UUID, Form()], back: BackPath = "/ui/glitches"
) -> Response:
    """Revoke the labels of the last labelling."""
    undo_selection(visit.session, bulk, reviewer=visit.principal)
    return see_other(local_path(back, "/ui/glitches"), done="undone")


def _page(session: Session, query: CatalogueQuery) -> Page[GlitchRecord]:
    if query.sort is None:
        return list_glitches(session, query.filters, limit=PAGE_SIZE, cursor=query.cursor)
    by, is_falling = query.sort
    return list_sorted(
        session, query.filters, by=by, is_falling=is_falling, limit=PAGE_SIZE, cursor=query.cursor
    )


def _class_counts(query: CatalogueQuery, tallies: tuple[ClassTally, ...]) -> tuple[ClassCount, ...]:
    largest = max((tally.total for tally in tallies), default=0)
    chosen = query.values.get("label")
    return tuple(
        ClassCount(
            text=tally.name or "Unlabelled",
            count=f"{tally.total:,}",
            share=round(100 * tally.total / largest, 1),
            href=query.href(
                label=None if chosen == (tally.name or UNLABELLED) else tally.name or UNLABELLED,
                after=None,
            ),
            is_chosen=chosen == (tally.name or UNLABELLED),
        )
        for tally in tallies
    )


@dataclass(frozen=True)
class _Column:
    title: str
    text: Callable[[GlitchRecord], str | None]  # None: unknown
    sort: str | None = None
    is_number: bool = False


# Detector, time, class, novelty and simulated class are formatted as on cards.
_COLUMNS: Mapping[str, _Column] = {
    "class": _Column("Class", lambda glitch: glitch.label or "Unlabelled", "class"),
    "detector": _Column("Detector", lambda glitch: glitch.ifo, "detector"),
    "time": _Column("Time", lambda glitch: str(glitch.gps_time), "time"),
    "run": _Column("Run", lambda glitch: era(glitch.gps_time)),
    "snr": _Column("SNR", lambda glitch: snr(glitch.snr), "snr", is_number=True),
    "frequency": _Column(
        "Peak frequency", lambda glitch: frequency(glitch.peak_frequency), "frequency", True
    ),
    "duration": _Column("Duration", lambda glitch: seconds(glitch.duration), "duration", True),
    "bandwidth": _Column("Bandwidth", lambda glitch: frequency(glitch.bandwidth), None, True),
    "q": _Column("Q", lambda glitch: None if glitch.q is None else f"{glitch.q:.3g}", None, True),
    "confidence": _Column(
        "Label's confidence",
        lambda glitch: None if glitch.ml_confidence is None else f"{glitch.ml_confidence:.3g}",
        None,
        True,
    ),
    "quality": _Column("Data quality", lambda glitch: " ".join(glitch.data_quality) or None),
    "novelty": _Column("Novelty", lambda _: None, "novelty"),
    "simulated": _Column("Simulated class", lambda _: None),
    "channel": _Column("Channel", lambda glitch: glitch.channel),
    "origin": _Column("Origin", lambda glitch: ORIGIN_TEXTS[glitch.origin]),
    "id": _Column("Id", lambda glitch: glitch.public_id),
}
SHOWN_AT_FIRST = ("class", "detector", "time", "snr", "frequency", "novelty", "origin")


def catalogue_table(
    query: CatalogueQuery, glitches: tuple[GlitchRecord, ...], cards: tuple[Card, ...]
) -> CatalogueTable:
    """The page as a table, with the requested columns and order."""
    # The class is always shown, because it links to the glitch.
    shown = tuple(
        name for name in _COLUMNS if name in ("class", *(query.columns or SHOWN_AT_FIRST))
    )
    by, is_falling = query.sort or ("", False)

    return CatalogueTable(
        columns=tuple(
            TableColumn(
                title=_COLUMNS[name].title,
                is_number=_COLUMNS[name].is_number,
                href=_sorted_href(query, _COLUMNS[name].sort),
                order=None
                if not by or by != _COLUMNS[name].sort
                else "descending"
                if is_falling
                else "ascending",
            )
            for name in shown
        ),
        titles={name: one.title for name, one in _COLUMNS.items()},
        shown=shown,
        rows=tuple(
            (its_card, tuple(_COLUMNS[name].text(one) for name in shown))
            for one, its_card in zip(glitches, cards, strict=True)
        ),
    )


def _sorted_href(query: CatalogueQuery, by: str | None) -> str | None:
    """Link that cycles through descending order, ascending order and order of storing."""
    if by is None:
        return None
    now = query.values.get("sort")
    next_sort = {f"-{by}": by, by: None}.get(now or "", f"-{by}")
    return query.href(sort=next_sort, after=None)
