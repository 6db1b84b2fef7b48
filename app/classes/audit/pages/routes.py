"""The label audit page: start an audit, review its findings, and relabel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Response
from sqlalchemy.orm import Session

from app.classes.audit import service
from app.classes.audit.records import Audit, AuditedGlitch, ImpureCluster
from app.classes.naming import resolve_class_name, usable_class_names
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError, NotReadyError
from app.core.paging import Page
from app.frame.contexts import ClassCount, PageContext, Pages
from app.frame.deps import (
    BackPath,
    PageNumber,
    PageRoute,
    ReaderVisit,
    ShortText,
    SubmitterVisit,
    page_number,
)
from app.frame.display import address, numbered
from app.frame.failures import see_other
from app.frame.render import local_path
from app.glitches.labels import append_label
from app.jobs.pages.view import JobNote, job_href
from app.jobs.service import latest_job


class AuditPage(PageContext, template="label_audit.html", section="label-audit"):
    """The page of the latest audit's findings."""

    audit: Audit | None  # the latest
    job: JobNote | None
    total: int  # of the doubts that pass the filters
    doubts: tuple[AuditedGlitch, ...]
    rare: Mapping[UUID, int]  # glitches whose label cannot win the vote: number of others with it
    clusters: tuple[ImpureCluster, ...]
    classes: tuple[ClassCount, ...]  # in doubt, the most doubted first
    class_names: tuple[str, ...]
    undo: str | None  # id of the label just added
    query: Mapping[str, str]  # query parameters of the address
    is_narrowed: bool
    errors: tuple[str, ...]
    back: str  # address of this page with its filters, to return to after labelling
    n_voters: str
    start_error: str | None
    pages: Pages


Word = Annotated[str, Query(max_length=100)]


@dataclass(frozen=True)
class AuditFilters:
    """The filters in the address."""

    ifo: Word = ""
    label: Word = ""
    suggestion: Word = ""
    origin: Word = ""


router = APIRouter(route_class=PageRoute)

PATH = "/ui/label-audit"
PAGE_SIZE = 24
CLUSTERS_SHOWN = 12


@router.get("/label-audit")
def label_audit(
    visit: ReaderVisit,
    query: Annotated[AuditFilters, Depends()],
    page: PageNumber = 1,
    event: UUID | None = None,
) -> Response:
    """The findings of the latest audit; ``event`` is the id of the label just added."""
    shown = _page(visit.session, vars(query), page, undo=event)
    return visit.show(shown, status=400 if shown.errors else 200)


@router.post("/label-audit")
def start(visit: SubmitterVisit, n_voters: ShortText = str(service.VOTERS)) -> Response:
    """Start an audit of all labels."""
    try:
        job = service.start_audit(
            visit.session, principal=visit.principal, n_voters=_voters(n_voters)
        )
    except (InvalidRequestError, NotReadyError) as error:
        page = _page(visit.session, {}, start_error=str(error), n_voters=n_voters)
        return visit.show(page, status=400)
    return see_other(job_href(job), done="audit")


def _voters(typed: str) -> int:
    try:
        return int(typed)
    except ValueError:
        raise InvalidRequestError(
            f"“{typed[:20]}” is not a number of neighbours: give one such as {service.VOTERS}."
        ) from None


@router.post("/label-audit/label")
def relabel(
    *,
    visit: SubmitterVisit,
    glitch: Annotated[UUID, Form()],
    act: Annotated[str, Form(max_length=10)] = "label",
    class_name: Annotated[str, Form(max_length=100)] = "",
    other: Annotated[str, Form(max_length=100)] = "",
    shown: Annotated[str | None, Form(max_length=100)] = None,
    back: BackPath = PATH,
) -> Response:
    """Label a doubtful glitch, or confirm its label; it is no longer listed then."""
    target = local_path(back, PATH)
    try:
        service.refuse_answered(visit.session, glitch, shown)
        if act == "keep":
            added = service.keep_label(visit.session, glitch, author=visit.principal)
        else:
            name = resolve_class_name(visit.session, other) if act == "other" else class_name
            added = append_label(visit.session, glitch, name, author=visit.principal)
    except (InvalidRequestError, ConflictError) as error:
        visit.session.rollback()
        values = dict(parse_qsl(urlsplit(target).query))
        number = page_number(values.pop("page", ""))
        page = _page(visit.session, values, number, label_error=str(error))
        return visit.refuse(page, error)
    return see_other(target, done="kept" if act == "keep" else "labelled", event=str(added.id))


def _page(
    session: Session,
    values: dict[str, str],
    number: int = 1,
    *,
    start_error: str | None = None,
    label_error: str | None = None,
    n_voters: str = str(service.VOTERS),
    undo: UUID | None = None,
) -> AuditPage:
    chosen = {name: value.strip() for name, value in values.items() if value.strip()}
    audit = service.latest_audit(session)
    doubts: Page[AuditedGlitch] = Page()
    errors: tuple[str, ...] = () if label_error is None else (label_error,)
    try:
        filters = {name: chosen.get(name) for name in ("ifo", "label", "suggestion", "origin")}
        doubts = service.list_doubtful_glitches(session, **filters, limit=PAGE_SIZE, number=number)
    except (InvalidRequestError, NotFoundError) as error:
        errors = (*errors, str(error))
    clusters = service.list_impure_clusters(session, limit=CLUSTERS_SHOWN) if audit else Page()
    return AuditPage(
        audit=audit,
        job=_job(session),
        total=audit.n_doubtful if errors and audit else doubts.total,
        doubts=doubts.items,
        rare=service.outvoted_labels(session, doubts.items),
        clusters=clusters.items,
        query=chosen,
        classes=tuple(
            ClassCount(
                text=one.name,
                count=f"{one.n_doubtful:,} of {one.n_labelled:,}",
                share=round(100 * one.n_doubtful / one.n_labelled, 1),
                href=address(PATH, **{**chosen, "label": one.name}),
                is_chosen=one.name == chosen.get("label"),
            )
            for one in service.rank_doubted_classes(session)
        ),
        class_names=usable_class_names(session),
        undo=None if undo is None else str(undo),
        is_narrowed=bool(chosen),
        errors=errors,
        back=address(PATH, **chosen, page=str(number) if number > 1 else None),
        n_voters=n_voters[:20],
        start_error=start_error,
        pages=numbered(
            number, doubts.total, PAGE_SIZE, lambda number: address(PATH, **chosen, page=number)
        ),
    )


def _job(session: Session) -> JobNote | None:
    """The job of the latest audit, if it is open or failed."""
    latest = latest_job(session, service.KIND)
    if latest is None or latest.state in {"succeeded", "cancelled"}:
        return None
    sentence = f"The latest audit failed: {latest.detail or 'see its job.'}"
    if latest.is_open:
        sentence = "An audit is running: see its progress."
    return JobNote(job_href(latest), sentence, latest.is_open)
