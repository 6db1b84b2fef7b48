"""The pages of all classes and of one class, with its history and actions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Response
from sqlalchemy.orm import Session

from app.classes.log import Change, ClassLog
from app.classes.naming import class_named, create_class, current_name, find_class, list_classes
from app.classes.overview import Occurrence, Portrait, occurrences, portrait, times_of
from app.classes.records import GlitchClass
from app.classes.service import change_class, get_class, get_class_named, history_shown
from app.classes.tree import Tree
from app.clusters.pages.view import Likeness
from app.core.access import Principal
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError, PermissionDeniedError
from app.core.events import request_of
from app.core.wording import count
from app.frame.contexts import Card, PageContext, Pages
from app.frame.deps import EventId, LongText, PageNumber, PageRoute, ReaderVisit
from app.frame.display import address, card, moment, numbered
from app.frame.failures import see_other
from app.frame.histograms import PLOT, Histogram, bars_of, ticks_at_ends
from app.glitches.records import GlitchFilters, GlitchRecord
from app.glitches.service import exemplars, list_glitches
from glitch.gps import gps_to_utc


@dataclass(frozen=True)
class ClassRow:
    """One class in the list."""

    record: GlitchClass
    depth: int  # number of classes above it
    exemplar: GlitchRecord | None
    own: Occurrence
    share: float  # of the most frequent class, in percent, for the bar


class ClassesPage(PageContext, template="classes.html", section="classes"):
    """The page of all classes."""

    rows: tuple[ClassRow, ...]
    ifos: tuple[str, ...]
    n_ours: int
    n_unlabelled: int
    error: str | None
    typed_name: str
    typed_description: str


@dataclass(frozen=True)
class ClassForm:
    """The fields of the form that changes a class, as typed and chosen."""

    act: Annotated[str, Form(max_length=20)] = ""
    last_event_id: EventId = 0
    event_id: EventId = 0
    name: LongText = ""
    description: LongText = ""
    parent: LongText = ""
    into: LongText = ""
    text: LongText = ""
    member: Annotated[tuple[UUID, ...], Form(max_length=1000)] = ()


class ClassPage(PageContext, template="class.html", section="classes"):
    """The page of one class."""

    href: str
    record: GlitchClass
    own: Occurrence
    above: tuple[GlitchClass, ...]  # the nearest first
    below: tuple[tuple[GlitchClass, int], ...]  # with their numbers of glitches
    exemplars: tuple[GlitchRecord, ...]
    are_chosen: bool
    nearest: tuple[Likeness, ...]
    rate: Histogram | None  # over time
    members: tuple[Card, ...]
    pages: Pages
    log: ClassLog
    class_names: tuple[str, ...]  # of classes that it can be moved below or merged into
    error: str | None
    typed: ClassForm  # values of a form that was refused


MEMBERS_SHOWN = 24
MIN_IFOS = ("H1", "L1", "V1")


def class_href(class_id: int) -> str:
    """Return the address of a class's page."""
    return f"/ui/classes/{class_id}"


def classes_page_of(
    session: Session, *, error: str | None = None, typed_name: str = "", typed_description: str = ""
) -> ClassesPage:
    """Build the page of all classes, with sub-classes below their classes."""
    known = list_classes(session)
    tally = occurrences(session)
    measured_ifos = {ifo for one in tally.values() for ifo in one.by_ifo}
    ifos = tuple(sorted(measured_ifos | set(MIN_IFOS), key=lambda ifo: (ifo == "?", ifo)))
    most = max((one.total for class_id, one in tally.items() if class_id is not None), default=0)
    shown = exemplars(session)
    rows = []
    for depth, record in _as_tree(known):
        own = tally.get(record.id, Occurrence())
        share = round(100 * own.total / most, 1) if most else 0.0
        rows.append(ClassRow(record, depth, shown.get(record.name), own, share))
    return ClassesPage(
        rows=tuple(rows),
        ifos=ifos,
        n_ours=sum(record.origin == "ours" for record in known),
        n_unlabelled=tally.get(None, Occurrence()).total,
        error=error,
        typed_name=typed_name[:100],
        typed_description=typed_description[:2000],
    )


def class_page_of(
    session: Session,
    record: GlitchClass,
    principal: Principal,
    *,
    after: str | None = None,
    number: int = 1,  # number of the page of members that starts after the cursor
    error: str | None = None,
    typed: ClassForm | None = None,
) -> ClassPage:
    """Build the page of one class."""
    known = list_classes(session)
    by_id = {one.id: one for one in known}
    shown = portrait(session, record)
    children = [one for one in known if one.parent == record.name]
    ids = (record.id, *(one.id for one in children), *(one.id for one in shown.nearest))
    tally = occurrences(session, ids)
    own = tally.get(record.id, Occurrence())
    page = list_glitches(
        session, GlitchFilters(labels=(record.name,)), limit=MEMBERS_SHOWN, cursor=after
    )
    href = class_href(record.id)
    return ClassPage(
        href=href,
        record=record,
        own=own,
        above=tuple(by_id[one] for one in Tree.load(session).ancestors(record.id) if one in by_id),
        below=tuple((one, tally.get(one.id, Occurrence()).total) for one in children),
        exemplars=shown.exemplars,
        are_chosen=shown.are_chosen,
        nearest=_nearest(session, shown, tally),
        rate=_rate(times_of(session, record.id), own),
        members=tuple(map(card, page.items)),
        pages=Pages(
            first=f"{href}#members" if after else None,
            previous=_members_href(href, page.previous, number - 1),
            next=_members_href(href, page.next, number + 1),
            place=numbered(number, own.total, MEMBERS_SHOWN, str).place,
        ),
        log=history_shown(session, record.id, principal=principal),
        class_names=tuple(one.name for one in known if one.id != record.id and not one.is_retired),
        error=error,
        typed=typed or ClassForm(description=record.description, parent=record.parent or ""),
    )


def _members_href(href: str, after: str | None, number: int) -> str | None:
    return f"{address(href, after=after, page=str(number))}#members" if after else None


def _as_tree(known: Sequence[GlitchClass]) -> list[tuple[int, GlitchClass]]:
    """Order classes by name, each followed by its sub-classes, with their depths."""
    below: dict[str | None, list[GlitchClass]] = {}
    names = {one.name for one in known}
    for one in known:
        below.setdefault(one.parent if one.parent in names else None, []).append(one)

    def walk(above: str | None, depth: int) -> list[tuple[int, GlitchClass]]:
        rows = []
        for one in sorted(below.get(above, []), key=lambda one: (one.is_retired, one.name)):
            rows += [(depth, one), *walk(one.name, depth + 1)]
        return rows

    return walk(None, 0)


def _nearest(
    session: Session, shown: Portrait, tally: Mapping[int | None, Occurrence]
) -> tuple[Likeness, ...]:
    pictures = exemplars(session) if shown.nearest else {}
    return tuple(
        Likeness(
            name=one.name,
            href=class_href(one.id),
            picture=card(pictures[one.name]).picture if one.name in pictures else None,
            window="",
            distance=f"{one.distance:.2f}",
            members=count(tally.get(one.id, Occurrence()).total, "glitch", "glitches"),
            returning=False,
        )
        for one in shown.nearest
    )


def _rate(times: Sequence[tuple[float, int]], own: Occurrence) -> Histogram | None:
    first, last = moment(own.first), moment(own.last)
    if not times or first is None or last is None:
        return None
    numbers = [number for _, number in times]
    most = max(numbers)
    texts = [
        f"from {gps_to_utc(Decimal(int(start))):%Y-%m-%d}: {count(number, 'glitch', 'glitches')}"
        for start, number in times
    ]
    ends = first.utc[:10], last.utc[:10]
    total = count(own.measured, "glitch", "glitches")
    summary = f"{total} from {ends[0]} to {ends[1]}, at most {most:,} in one bar."
    return Histogram("", "", bars_of(numbers, texts, PLOT), ticks_at_ends(ends), most, summary)


router = APIRouter(route_class=PageRoute)

_NO_REMARK = frozenset({"undo", "redo"})


@router.get("/classes")
def classes(visit: ReaderVisit) -> Response:
    """All classes, with their numbers of glitches."""
    return visit.show(classes_page_of(visit.session))


@router.post("/classes")
def add(visit: ReaderVisit, name: LongText = "", description: LongText = "") -> Response:
    """Add a class; errors are shown in the form."""
    try:
        with visit.session.begin_nested():
            made = create_class(
                visit.session, name.strip(), description=description.strip(), author=visit.principal
            )
    except (InvalidRequestError, ConflictError) as error:
        page = classes_page_of(
            visit.session, error=str(error), typed_name=name, typed_description=description
        )
        return visit.refuse(page, error)
    return see_other(class_href(made.id), done="class-added")


@router.get("/classes/{which}")
def one_class(
    visit: ReaderVisit, which: str, after: str | None = None, page: PageNumber = 1
) -> Response:
    """The page of one class.

    The address contains the class's id, which does not change when the class is renamed; addresses
    with a current or former name are redirected.
    """
    if not (which.isascii() and which.isdigit() and len(which) < 10):
        known = which if find_class(visit.session, which) else current_name(visit.session, which)
        return see_other(class_href(get_class_named(visit.session, known or which).id))
    record = get_class(visit.session, int(which))
    after = (after or "")[:500] or None
    number = page if after else 1
    return visit.show(
        class_page_of(visit.session, record, visit.principal, after=after, number=number)
    )


@router.post("/classes/{class_id}/change")
def change(visit: ReaderVisit, class_id: int, typed: Annotated[ClassForm, Depends()]) -> Response:
    """Apply an action to a class; errors are shown in the form, with the latest state."""
    record, act = get_class(visit.session, class_id), typed.act
    common = {
        "last_event_id": typed.last_event_id,
        "remark": "" if act in _NO_REMARK else typed.text,
    }
    into = class_named(visit.session, typed.into) or typed.into.strip()
    fields: dict[str, tuple[str, dict[str, Any]]] = {
        "rename": ("rename", {"name": typed.name.strip()}),
        "describe": ("describe", {"description": typed.description.strip()}),
        "move": ("move", {"parent": typed.parent.strip() or None}),
        "retire": ("state", {"state": "retired"}),
        "reactivate": ("state", {"state": "active"}),
        "dormant": ("state", {"state": "dormant"}),
        "exemplars": ("exemplars", {"glitch_ids": typed.member}),
        "merge": ("merge", {"into": into}),
        "undo": ("undo", {"event_id": typed.event_id}),
        "redo": ("redo", {"event_id": typed.event_id}),
    }
    if act not in fields:
        raise NotFoundError("There is no such action: go back to the class and choose another.")
    try:
        action, values = fields[act]
        action_request = request_of(Change, action, **values, **common)
        outcome = change_class(visit.session, class_id, action_request, author=visit.principal)
    except (InvalidRequestError, ConflictError, PermissionDeniedError) as error:
        form = None if act in _NO_REMARK or act == "exemplars" else typed
        page = class_page_of(visit.session, record, visit.principal, error=str(error), typed=form)
        return visit.refuse(page, error)
    if outcome.glitch_class is None:
        return see_other("/ui/classes", done="undone")
    notice = {"undo": "undone", "redo": "redone"}.get(act, "class-changed")
    return see_other(class_href(class_id), done=notice)
