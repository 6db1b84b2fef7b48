"""The pages of jobs: the list, one job with live progress, cancel and retry."""

import json
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy.orm import Session

from app.core.access import Principal
from app.core.errors import ConflictError, InvalidRequestError, PermissionDeniedError
from app.core.paging import Page
from app.frame.contexts import ClassCount
from app.frame.deps import PageNumber, PageRoute, ReaderVisit, SubmitterVisit, Visit
from app.frame.display import address, numbered
from app.frame.failures import see_other
from app.frame.render import environment
from app.jobs.follow import STILL_HERE, event_stream, follow
from app.jobs.pages import view
from app.jobs.records import JobRecord
from app.jobs.registry import KINDS
from app.jobs.service import cancel_job, get_job, list_jobs, retry_job

router = APIRouter(route_class=PageRoute)

PAGE_SIZE = 50

Word = Annotated[str | None, Query(max_length=64)]


@router.get("/jobs")
def jobs(
    visit: ReaderVisit, kind: Word = None, state: Word = None, page: PageNumber = 1
) -> Response:
    """List all background work, latest first."""
    kind, state = kind or None, state or None
    listed: Page[JobRecord] = Page()
    error = None
    try:
        listed = list_jobs(visit.session, kind=kind, state=state, limit=PAGE_SIZE, number=page)
    except InvalidRequestError as refused:
        error = str(refused)
    now = datetime.now(UTC)
    states = (("", "all"), *((name, text) for name, (text, _) in view.STATES.items()))
    kinds = (("", "all"), *((name, view.kind_text(name)) for name in sorted(KINDS)))
    context = view.JobsPage(
        rows=tuple(
            view.JobRow(one, view.heading_of(one), view.live_of(one, now)) for one in listed.items
        ),
        states=tuple(
            ClassCount(text, address("/ui/jobs", kind=kind, state=name), name == (state or ""))
            for name, text in states
        ),
        kinds=tuple(
            ClassCount(text, address("/ui/jobs", kind=name, state=state), name == (kind or ""))
            for name, text in kinds
        ),
        error=error,
        is_narrowed=bool(kind or state),
        pages=numbered(
            page,
            listed.total,
            PAGE_SIZE,
            lambda number: address("/ui/jobs", kind=kind, state=state, page=number),
        ),
    )
    return visit.show(context, status=400 if error else 200)


@router.get("/jobs/{job_id}")
def job(visit: ReaderVisit, job_id: UUID, state: Word = None, page: PageNumber = 1) -> Response:
    """The page of one job; scripts update it."""
    record = get_job(visit.session, job_id)
    state = state or None
    shown = view.job_page_of(visit.session, record, visit.principal, state=state, number=page)
    return visit.show(shown)


@router.get("/jobs/{job_id}/events")
def events(
    visit: ReaderVisit, job_id: UUID, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Server-sent events: ``live`` with the changed part of the page, ``end`` at the end."""
    get_job(visit.session, job_id)
    return event_stream(visit.request, _messages(visit.request, job_id, last_event_id))


async def _messages(
    request: Request, job_id: UUID, last_event_id: str | None
) -> AsyncGenerator[str]:
    template = environment().get_template("job_live.html")
    async for news in follow(request, job_id, last_event_id):
        if news is None:
            yield STILL_HERE
            continue
        live = view.live_of(news.job, datetime.now(UTC))
        content = json.dumps(template.render(page={"live": live}))
        yield f"id: {news.last_event_id}\nevent: live\ndata: {content}\n\n"
        if not news.job.is_open:
            yield f"id: {news.last_event_id}\nevent: end\ndata: {json.dumps(live.state)}\n\n"
            return


@router.post("/jobs/{job_id}/cancel")
def cancel(visit: SubmitterVisit, job_id: UUID) -> Response:
    """Cancel a job; stored results are kept."""
    return _act(visit, job_id, cancel_job, done="stopping")


@router.post("/jobs/{job_id}/retry")
def retry(visit: SubmitterVisit, job_id: UUID) -> Response:
    """Retry the failed or unfinished parts of a job."""
    return _act(visit, job_id, retry_job, done="retried")


def _act(
    visit: Visit, job_id: UUID, act: Callable[[Session, UUID, Principal], JobRecord], *, done: str
) -> Response:
    session, principal = visit.session, visit.principal
    try:
        with session.begin_nested():
            record = act(session, job_id, principal)
    except (ConflictError, PermissionDeniedError) as error:
        page = view.job_page_of(session, get_job(session, job_id), principal, error=str(error))
        return visit.refuse(page, error)
    return see_other(view.job_href(record), done=done)
