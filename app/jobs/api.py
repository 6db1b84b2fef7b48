"""`/jobs`: background jobs, their items, live progress, cancel and retry."""

import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from app.core.model import ListOf
from app.jobs import schemas as job_schemas
from app.jobs.follow import STILL_HERE, event_stream, follow
from app.jobs.records import JobItem
from app.jobs.service import cancel_job, get_job, list_items, list_jobs, retry_job
from app.server.request_scope import Cursor, Reader, SessionDep, Submitter

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("", summary="List jobs, latest first")
def jobs(
    session: SessionDep,
    _: Reader,
    kind: Annotated[str | None, Query(max_length=40)] = None,
    state: Annotated[
        str | None, Query(description="queued, running, succeeded, failed or cancelled.")
    ] = None,
    limit: Annotated[int, Query(description="Jobs on a page, 1 to 500.")] = 50,
    cursor: Cursor = None,
) -> ListOf[job_schemas.Job]:
    """One page; pass `next` as `cursor` to get the page after it."""
    page = list_jobs(session, kind=kind, state=state, limit=limit, cursor=cursor)
    return ListOf(items=[job_schemas.job(one) for one in page.items], next=page.next)


@router.get("/{job_id}", summary="One job with its progress")
def job(session: SessionDep, _: Reader, job_id: UUID) -> job_schemas.Job:
    """Inexpensive; `/jobs/{id}/events` sends changes as they happen."""
    return job_schemas.job(get_job(session, job_id))


@router.get("/{job_id}/items", summary="Result for each input of a job")
def items(
    session: SessionDep,
    _: Reader,
    job_id: UUID,
    state: Annotated[str | None, Query(description="queued, done, failed or skipped.")] = None,
    limit: Annotated[int, Query(description="Items on a page, 1 to 500.")] = 100,
    cursor: Cursor = None,
) -> ListOf[JobItem]:
    """In the order of the inputs. `state=failed` gives failures with their reasons."""
    page = list_items(session, job_id, state=state, limit=limit, cursor=cursor)
    return ListOf[JobItem].model_validate(page)


@router.post("/{job_id}/cancel", summary="Stop a job")
def cancel(session: SessionDep, principal: Submitter, job_id: UUID) -> job_schemas.Job:
    """For its author or a reviewer. Stored results are kept; running chunks stop in seconds."""
    return job_schemas.job(cancel_job(session, job_id, principal))


@router.post("/{job_id}/retry", summary="Retry failed parts of a job")
def retry(session: SessionDep, principal: Submitter, job_id: UUID) -> job_schemas.Job:
    """Only failed parts, or parts that a cancelled job did not finish."""
    return job_schemas.job(retry_job(session, job_id, principal))


@router.get(
    "/{job_id}/events",
    summary="Progress of a job as events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"}},
)
def events(
    request: Request,
    session: SessionDep,
    _: Reader,
    job_id: UUID,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Server-sent events: `progress` (the job after each change) and `event` (its history).

    The stream ends with the job. A client that reconnects with `Last-Event-ID` misses nothing.
    """
    get_job(session, job_id)
    return event_stream(request, _messages(request, job_id, last_event_id))


async def _messages(
    request: Request, job_id: UUID, last_event_id: str | None
) -> AsyncGenerator[str]:
    async for news in follow(request, job_id, last_event_id):
        if news is None:
            yield STILL_HERE
            continue
        for one in news.events:
            yield _message("event", one.model_dump(mode="json"), one.id)
        if news.is_changed:
            content = job_schemas.job(news.job).model_dump(mode="json")
            yield _message("progress", content, news.last_event_id)


def _message(name: str, content: dict[str, Any], number: int) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(content)}\n\n"
