"""Where to find what a job made, for API and pages alike."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from app.core.model import Model
from app.glitches.exports.formats import format_named
from app.jobs.records import JobRecord


class Made(Model):
    """Where to find what a job made; addresses without the service's own."""

    text: str = Field(exclude=True)  # of a link to it
    href: str = Field(description="In the API; of an export, the file.")
    page: str


def made_by(job: JobRecord, now: datetime) -> Made | None:
    """What this job made; None while there is nothing to see, or where it is kept no more."""
    result = job.result or {}
    if job.kind == "ingest":  # glitches are there one by one, also where others failed
        is_any = job.done + job.skipped > 0
        return _made("See its glitches", f"/glitches?batch={job.id}") if is_any else None
    if job.state != "succeeded":
        return None
    if job.kind == "cluster":
        return _made("See its clusters", f"/clusters?run={result['run']}")
    if job.kind == "export":
        if datetime.fromisoformat(result["kept_until"]) < now:
            return None
        title = format_named(result["format"]).title
        return _made(f"Download the {title}", f"/exports/{job.id}")
    return _BY_KIND.get(job.kind)


def _made(text: str, href: str, page: str | None = None) -> Made:
    return Made(text=text, href=href, page=page or f"/ui{href}")


_CHECKPOINTS = _made("See the checkpoints", "/checkpoints")
_BY_KIND = {
    "demo": _made("See what was found", "/clusters"),
    "digest": _made("See what is new", "/digest"),
    "judge": _made("See what is novel", "/glitches?is_judged=true", "/ui/glitches?novelty=novel"),
    "label_audit": _made("See the findings", "/label-audit"),
    "project": _made("See the map", "/map/state", "/ui/map"),
    "references": _made("See the jobs that load it", "/jobs?kind=ingest", "/ui/jobs"),
    "reembed": _CHECKPOINTS,
    "index": _CHECKPOINTS,
}
