"""Jobs as JSON, with links to their results, for the API and the pages."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from app.core.model import Model
from app.glitches.exports.service import format_named
from app.jobs.records import JobRecord


class Made(Model):
    """Where to find the result of a job; addresses relative to the service."""

    text: str = Field(exclude=True)  # of the link on a page
    href: str = Field(description="Address in the API; for an export, of the file.")
    page: str


def made_by(job: JobRecord, now: datetime) -> Made | None:
    """Links to the result of this job; None if there is no result yet or it was removed."""
    result = job.result or {}
    if job.kind == "ingest":  # each glitch is available once stored, even if others failed
        is_any = job.done + job.skipped > 0
        return _link("See its glitches", f"/glitches?batch={job.id}") if is_any else None
    if job.state != "succeeded":
        return None
    if job.kind == "cluster":
        return _link("See its clusters", f"/clusters?run={result['run']}")
    if job.kind == "export":
        if datetime.fromisoformat(result["kept_until"]) < now:
            return None
        title = format_named(result["format"]).title
        return _link(f"Download the {title}", f"/exports/{job.id}")
    return _BY_KIND.get(job.kind)


def _link(text: str, href: str, page: str | None = None) -> Made:
    return Made(text=text, href=href, page=page or f"/ui{href}")


_CHECKPOINTS = _link("See the checkpoints", "/checkpoints")
_BY_KIND = {
    "demo": _link("See what was found", "/clusters"),
    "digest": _link("See what is new", "/digest"),
    "judge": _link("See what is novel", "/glitches?is_judged=true", "/ui/glitches?novelty=novel"),
    "label_audit": _link("See the findings", "/label-audit"),
    "project": _link("See the map", "/map/state", "/ui/map"),
    "references": _link("See the jobs that load it", "/jobs?kind=ingest", "/ui/jobs"),
    "reembed": _CHECKPOINTS,
    "index": _CHECKPOINTS,
}


class JobProgress(Model):
    """Progress of a job. `total` is 0 until the job is planned."""

    total: int
    done: int
    failed: int = Field(
        description="Number of failures; `/jobs/{id}/items?state=failed` gives the reasons."
    )
    skipped: int = Field(description="Number of inputs known already.")


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
    made: Made | None = Field(description="Null if there is no result yet, or if it was removed.")
    author: str
    detail: str | None = Field(description="Why it failed, or what was left out.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


def job(record: JobRecord) -> Job:
    """Convert a job record to its JSON model."""
    own = {name: getattr(record, name) for name in Job.model_fields.keys() - {"progress", "made"}}
    return Job(
        **own, progress=JobProgress.model_validate(record), made=made_by(record, datetime.now(UTC))
    )
