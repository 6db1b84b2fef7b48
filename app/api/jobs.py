"""`/jobs`: background work, its items, its progress as it happens, cancel and retry."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.api import job_schemas, schemas
from app.api.deps import Reader, RuntimeDep, SessionDep, Submitter
from app.services.errors import NotFoundError
from app.services.jobs.records import JobEventRecord, JobRecord
from app.services.jobs.service import (
    cancel_job,
    get_job,
    list_events,
    list_items,
    list_jobs,
    retry_job,
)
from app.services.runtime import Runtime

router = APIRouter(prefix="/jobs", tags=["jobs"])
_LOOK_EVERY_S = 0.5
_SPEAK_EVERY_S = 15.0  # proxies close what is silent
_NUMBER = re.compile(r"[0-9]{1,18}")
_LONGEST_STREAM_S = 900.0  # a client that is still there comes back by itself

Cursor = Annotated[str | None, Query(max_length=64, description="`next` of the page before.")]


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
) -> schemas.ListOf[job_schemas.Job]:
    """One page; pass `next` as `cursor` to get the page after it."""
    page = list_jobs(session, kind=kind, state=state, limit=limit, cursor=cursor)
    return schemas.ListOf(items=[job_schemas.job(one) for one in page.items], next=page.next)


@router.get("/{job_id}", summary="One job with its progress")
def job(session: SessionDep, _: Reader, job_id: UUID) -> job_schemas.Job:
    """Cheap to ask often; `/jobs/{id}/events` tells without being asked."""
    return job_schemas.job(get_job(session, job_id))


@router.get("/{job_id}/items", summary="What became of each input of a job")
def items(
    session: SessionDep,
    _: Reader,
    job_id: UUID,
    state: Annotated[str | None, Query(description="queued, done, failed or skipped.")] = None,
    limit: Annotated[int, Query(description="Items on a page, 1 to 500.")] = 100,
    cursor: Cursor = None,
) -> schemas.ListOf[job_schemas.JobItem]:
    """In the order of the input; `state=failed` for what went wrong, with the reasons."""
    page = list_items(session, job_id, state=state, limit=limit, cursor=cursor)
    return schemas.ListOf(items=[job_schemas.item(one) for one in page.items], next=page.next)


@router.post("/{job_id}/cancel", summary="Stop a job")
def cancel(session: SessionDep, principal: Submitter, job_id: UUID) -> job_schemas.Job:
    """Its author's, or a reviewer's. What is stored stays; a chunk at work is left in seconds."""
    return job_schemas.job(cancel_job(session, job_id, principal))


@router.post("/{job_id}/retry", summary="Do again what failed of a job")
def retry(session: SessionDep, principal: Submitter, job_id: UUID) -> job_schemas.Job:
    """Only what failed, or what a cancelled job left undone; the rest stays as it is."""
    return job_schemas.job(retry_job(session, job_id, principal))


@router.get(
    "/{job_id}/events",
    summary="A job's progress as it happens",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events"}},
)
def events(
    request: Request,
    runtime: RuntimeDep,
    session: SessionDep,
    _: Reader,
    job_id: UUID,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Server-sent events: `progress` (the job, whenever it changed) and `event` (what happened).

    The stream ends with the job. A client that comes back with `Last-Event-ID` misses nothing.
    """
    get_job(session, job_id)
    after = int(last_event_id) if last_event_id and _NUMBER.fullmatch(last_event_id) else 0
    is_stopping: Callable[[], bool] = getattr(request.app.state, "is_stopping", lambda: False)
    return StreamingResponse(
        _stream(runtime, job_id, after, is_stopping),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _stream(
    runtime: Runtime, job_id: UUID, after: int, is_stopping: Callable[[], bool]
) -> AsyncIterator[str]:
    """Look at the job now and then, in a pool thread, and say what is new."""
    clock = asyncio.get_running_loop().time
    started = spoken = clock()
    said: JobRecord | None = None
    while not is_stopping() and clock() - started < _LONGEST_STREAM_S:
        try:
            found, news = await run_in_threadpool(_look, runtime, job_id, after)
        except NotFoundError:
            return
        is_new = found != said
        for one in news:
            after = one.id
            yield _message("event", job_schemas.event(one).model_dump(mode="json"), one.id)
        if is_new:
            yield _message("progress", job_schemas.job(found).model_dump(mode="json"), after)
            said = found
        if not is_new and not news and clock() - spoken > _SPEAK_EVERY_S:
            yield ": still here\n\n"
            spoken = clock()
        elif is_new or news:
            spoken = clock()
        if not found.is_open and not news:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def _look(
    runtime: Runtime, job_id: UUID, after: int
) -> tuple[JobRecord, tuple[JobEventRecord, ...]]:
    with runtime.sessions() as session:
        found = get_job(session, job_id)  # before the events: an ended job's are all there
        return found, list_events(session, job_id, after=after)


def _message(name: str, content: dict[str, Any], number: int) -> str:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(content)}\n\n"
