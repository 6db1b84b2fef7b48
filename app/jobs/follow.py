"""Progress events of a job, for the event streams of the API and the pages."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from fastapi import Request

from app.core.errors import NotFoundError
from app.jobs.records import JobEvent, JobRecord
from app.jobs.service import get_job, list_events
from app.server.admission import AdmittedStream
from app.server.request_scope import look_up, runtime_of

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
STILL_HERE = ": still here\n\n"  # a comment of the event stream
_LOOK_EVERY_S = 0.5
_KEEPALIVE_EVERY_S = 15.0  # proxies close silent connections
_NUMBER = re.compile(r"[0-9]{1,18}")
_LONGEST_STREAM_S = 900.0  # the client reconnects by itself


@dataclass(frozen=True)
class News:
    """Changes of a job since the previous check."""

    job: JobRecord
    is_changed: bool  # whether the job's row differs from the previous check
    events: tuple[JobEvent, ...]  # since the previous check
    last_event_id: int


def event_stream(request: Request, messages: AsyncGenerator[str]) -> AdmittedStream:
    """Response of server-sent events; the number of open streams is limited."""
    return AdmittedStream(
        runtime_of(request).admissions.events,
        messages,
        media_type="text/event-stream",
        headers=_HEADERS,
    )


async def follow(
    request: Request, job_id: UUID, last_event_id: str | None
) -> AsyncIterator[News | None]:
    """Check a job every 0.5 s, in a pool thread, until it ends or the service stops.

    Yields:
        Changes since the event in the header ``Last-Event-ID``, or since the beginning if the
        header is absent or invalid; None after 15 s without changes, so that a proxy does not close
        the connection.
    """
    is_known = last_event_id is not None and _NUMBER.fullmatch(last_event_id) is not None
    after = int(last_event_id or 0) if is_known else 0
    is_stopping: Callable[[], bool] = getattr(request.app.state, "is_stopping", lambda: False)
    clock = asyncio.get_running_loop().time
    started = sent_at = clock()
    last_sent: JobRecord | None = None
    while not is_stopping() and clock() - started < _LONGEST_STREAM_S:
        try:
            job, events = await look_up(request, partial(_look, job_id=job_id, after=after))
        except NotFoundError:
            return
        is_changed = job != last_sent
        if is_changed or events:
            after = events[-1].id if events else after
            last_sent, sent_at = job, clock()
            yield News(job, is_changed, events, after)
        elif clock() - sent_at > _KEEPALIVE_EVERY_S:
            sent_at = clock()
            yield None
        if not job.is_open and not events:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def _look(request: Request, *, job_id: UUID, after: int) -> tuple[JobRecord, tuple[JobEvent, ...]]:
    with runtime_of(request).sessions() as session:
        # The job first: if it has ended, all its events are stored by now.
        job = get_job(session, job_id)
        return job, list_events(session, job_id, after=after)
