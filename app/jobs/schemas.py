"""Jobs as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from app.core.model import Model
from app.jobs.made import Made, made_by
from app.jobs.records import JobRecord


class JobProgress(Model):
    """How far a job is. `total` is 0 until the job is planned."""

    total: int
    done: int
    failed: int = Field(description="`/jobs/{id}/items?state=failed` lists them with reasons.")
    skipped: int = Field(description="Known already: nothing to do.")


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


def job(record: JobRecord) -> Job:
    """A job."""
    own = {name: getattr(record, name) for name in Job.model_fields.keys() - {"progress", "made"}}
    return Job(
        **own,
        progress=JobProgress.model_validate(record),
        made=made_by(record, datetime.now(UTC)),
    )
