"""Where to find what a job made, for API and pages alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.glitches.exports.formats import format_named
from app.jobs.records import JobRecord


@dataclass(frozen=True)
class Made:
    """What a job made: its addresses, without the service's own."""

    text: str  # of a link to it
    page: str
    href: str  # in the API


def made_by(job: JobRecord, now: datetime) -> Made | None:
    """What this job made; None while there is nothing to see, or where it is kept no more."""
    result = job.result or {}
    if job.kind == "ingest":  # glitches are there one by one, also where others failed
        where = f"glitches?batch={job.id}"
        is_any = job.done + job.skipped > 0
        return Made("See its glitches", f"/ui/{where}", f"/{where}") if is_any else None
    if job.state != "succeeded":
        return None
    if job.kind == "cluster":
        where = f"clusters?run={result['run']}"
        return Made("See its clusters", f"/ui/{where}", f"/{where}")
    if job.kind == "export":
        if datetime.fromisoformat(result["kept_until"]) < now:
            return None
        title = format_named(result["format"]).title
        return Made(f"Download the {title}", f"/ui/exports/{job.id}", f"/exports/{job.id}")
    return _BY_KIND.get(job.kind)


_CHECKPOINTS = Made("See the checkpoints", "/ui/checkpoints", "/checkpoints")
_BY_KIND = {
    "demo": Made("See what was found", "/ui/clusters", "/clusters"),
    "digest": Made("See what is new", "/ui/digest", "/digest"),
    "judge": Made("See what is novel", "/ui/glitches?novelty=novel", "/glitches?is_judged=true"),
    "label_audit": Made("See the findings", "/ui/label-audit", "/label-audit"),
    "project": Made("See the map", "/ui/map", "/map/state"),
    "references": Made("See the jobs that load it", "/ui/jobs", "/jobs?kind=ingest"),
    "reembed": _CHECKPOINTS,
    "index": _CHECKPOINTS,
}
