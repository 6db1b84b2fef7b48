"""Jobs as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from app.core.schemas import Model
from app.jobs.made import made_by
from app.jobs.records import JobRecord


class JobProgress(Model):
    """How far a job is. `total` is 0 until the job is planned."""

    total: int
    done: int
    failed: int = Field(description="`/jobs/{id}/items?state=failed` lists them with reasons.")
    skipped: int = Field(description="Known already: nothing to do.")


class Made(Model):
    """Where to find what a job made; addresses without the service's own."""

    href: str = Field(description="In the API; of an export, the file.")
    page: str


class Job(Model):
    """Background work."""

    id: UUID
    kind: str
    state: str = Field(description="queued, running, succeeded, failed or cancelled.")
    is_cancel_requested: bool
    can_be_retried: bool
    progress: JobProgress
    parameters: dict[str, Any]
    result: dict[str, Any] | None
    made: Made | None = Field(description="Null while there is nothing, or where it is gone.")
    author: str
    detail: str | None = Field(description="A sentence: why it failed, or what was left out.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobItem(Model):
    """One input of a job and what became of it."""

    ordinal: int
    name: str
    state: str = Field(description="queued, done, failed or skipped.")
    reason: str | None
    glitch_id: UUID | None


class JobEvent(Model):
    """Something that happened to a job."""

    id: int
    created_at: datetime
    name: str
    detail: str | None


def job(record: JobRecord) -> Job:
    """A job."""
    made = made_by(record, datetime.now(UTC))
    return Job(
        id=record.id,
        kind=record.kind,
        state=record.state,
        is_cancel_requested=record.is_cancel_requested,
        can_be_retried=record.can_be_retried,
        progress=JobProgress(
            total=record.total, done=record.done, failed=record.failed, skipped=record.skipped
        ),
        parameters=dict(record.parameters),
        result=None if record.result is None else dict(record.result),
        made=None if made is None else Made(href=made.href, page=made.page),
        author=record.author,
        detail=record.detail,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
    )
