"""Display of jobs: description, progress, and the result for each input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from app.core.access import Principal, Role
from app.core.paging import Page
from app.core.wording import count
from app.frame.contexts import ClassCount, Fact, PageContext, Pages
from app.frame.display import address, numbered, stamp
from app.glitches.exports.service import format_named
from app.jobs.records import JobEvent, JobItem, JobRecord
from app.jobs.registry import KINDS
from app.jobs.schemas import made_by
from app.jobs.service import list_events, list_items


@dataclass(frozen=True)
class Progress:
    """Progress of a job, in words and as the parts of a bar of width 100."""

    done: float
    skipped: float
    failed: float
    sentence: str  # "312 of 1,000: 300 stored, 10 known already, 2 failed"
    left: str | None  # "about 3 minutes left"


@dataclass(frozen=True)
class JobRow:
    """One job in the list."""

    job: JobRecord
    title: str
    live: JobLive


class JobsPage(PageContext, template="jobs.html", section="jobs"):
    """The jobs, latest first."""

    rows: tuple[JobRow, ...]
    states: tuple[ClassCount, ...]
    kinds: tuple[ClassCount, ...]
    error: str | None
    is_narrowed: bool
    pages: Pages


@dataclass(frozen=True)
class JobNote:
    """Message on the latest job of a kind, for the page of its result."""

    href: str
    sentence: str
    is_open: bool
    done: float = 0.0  # percent


@dataclass(frozen=True)
class FollowedJob:
    """A running job whose result another page waits for."""

    title: str
    text: str  # what the page will contain afterwards
    href: str
    live: JobLive


@dataclass(frozen=True)
class JobLive:
    """The part of a job's page that changes while the job runs."""

    state: str
    level: str
    progress: Progress | None
    detail: str | None
    is_stopping: bool  # cancel requested, but the job still runs
    run_time: str | None


class JobPage(PageContext, template="job.html", section="jobs"):
    """One job."""

    href: str
    heading: str
    live: JobLive
    follow_href: str | None  # of its events, while it is open
    facts: tuple[Fact, ...]
    result_text: str | None  # sentences on the result, if any
    results: tuple[Fact, ...]
    outcome: tuple[str, str] | None  # address and text of the link to the result
    items: tuple[JobItem, ...]
    item_states: Mapping[str, tuple[str, str]]  # text and CSS class of each state
    has_items: bool
    states: tuple[ClassCount, ...]  # links that filter the items by state
    events: tuple[JobEvent, ...]
    can_cancel: bool
    can_retry: bool
    retry_text: str
    error: str | None
    pages: Pages


ITEMS_SHOWN = 100
HAPPENINGS_SHOWN = 200
STATES: Mapping[str, tuple[str, str]] = {
    "queued": ("waiting", "waiting"),
    "running": ("at work", "busy"),
    "succeeded": ("done", "good"),
    "failed": ("failed", "bad"),
    "cancelled": ("cancelled", "off"),
}
ITEM_STATES: Mapping[str, tuple[str, str]] = {
    "queued": ("waiting", "waiting"),
    "done": ("done", "good"),
    "skipped": ("known already", "off"),
    "failed": ("failed", "bad"),
}
_HIDDEN = frozenset(
    ("name", "checkpoint_id", "act", "run", "projection", "href", "page", "detail", "format")
)
_DIGITS_OF_A_DIGEST = 16
_TIMES = frozenset({"kept_until"})
_DIGESTS = frozenset({"upload", "manifest", "digest"})
_UNITS = {"_s": "s", "_hz": "Hz"}
_ABBREVIATIONS = {
    "fdr": "False-discovery rate",
    "ifo": "Detector",
    "min_cluster_size": "Smallest cluster",
    "n_voters": "Neighbours asked",
}
_SHORTEST_FORECAST_S = 3.0  # earlier, the rate is not reliable


def job_href(job: JobRecord) -> str:
    """Address of a job's page."""
    return f"/ui/jobs/{job.id}"


def kind_text(kind: str) -> str:
    """Display name of a kind of job."""
    return KINDS[kind].title if kind in KINDS else kind.replace("_", " ").capitalize()


def heading_of(job: JobRecord) -> str:
    """Kind of a job, with the name of its input if it has one."""
    kind = kind_text(job.kind)
    name = job.parameters.get("name")
    if job.kind in {"reembed", "index"}:
        name = job.parameters.get("checkpoint")
    elif job.kind == "export":
        name = format_named(job.parameters["format"]).title
    return f"{kind}: {name}" if name else kind


def followed(job: JobRecord, now: datetime, title: str, text: str) -> FollowedJob:
    """A running job, for a page that waits for its result."""
    return FollowedJob(title, text, job_href(job), live_of(job, now))


def live_of(job: JobRecord, now: datetime) -> JobLive:
    """State and progress of a job at a moment."""
    state, level = STATES.get(job.state, (job.state, "off"))
    if job.failed and level == "good":
        state, level = f"{state}, {job.failed:,} failed", "mixed"
    is_stopping = job.is_open and job.is_cancel_requested
    worked = None if job.started_at is None else (job.finished_at or now) - job.started_at
    return JobLive(
        state="stopping" if is_stopping else state,
        level=level,
        progress=_progress(job, now),
        detail=job.detail,
        is_stopping=is_stopping,
        run_time=None if worked is None else duration(worked.total_seconds()),
    )


def _progress(job: JobRecord, now: datetime) -> Progress | None:
    if not job.total:
        return None
    ended = job.done + job.failed + job.skipped
    is_ending = job.state == "running" and ended >= job.total
    if is_ending and job.total == 1:
        return None  # a full bar would suggest that it is done
    words = [
        f"{number:,} {word}"
        for number, word in (
            (job.done, "done"),
            (job.skipped, "known already"),
            (job.failed, "failed"),
        )
        if number
    ]
    # "1,040 of 1,040 done", not "1,040 of 1,040: 1,040 done".
    parts = " done" if ended == job.done > 0 else f": {', '.join(words)}" if words else ""
    return Progress(
        done=round(100 * job.done / job.total, 2),
        skipped=round(100 * job.skipped / job.total, 2),
        failed=round(100 * job.failed / job.total, 2),
        sentence=f"{ended:,} of {job.total:,}{parts}{', the last step is under way' * is_ending}",
        left=_time_left(job, ended, now),
    )


def _time_left(job: JobRecord, ended: int, now: datetime) -> str | None:
    """Estimate of the remaining time at the rate so far; None if it is not reliable."""
    if job.state != "running" or job.started_at is None or not 0 < ended < job.total:
        return None
    worked_s = (now - job.started_at).total_seconds()
    if worked_s < _SHORTEST_FORECAST_S:
        return None
    return f"about {duration(worked_s * (job.total - ended) / ended)} left"


def duration(seconds: float) -> str:
    """A duration in words, in a suitable unit."""
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return count(round(seconds), "second")
    if seconds < 90 * 60:
        return count(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"


def job_page_of(
    session: Session,
    job: JobRecord,
    principal: Principal,
    *,
    state: str | None = None,
    number: int = 1,
    error: str | None = None,
) -> JobPage:
    """The page of one job."""
    has_items = bool(list_items(session, job.id, limit=1).items)
    # Failures are listed first, because users look for them.
    chosen = state or ("failed" if job.failed and not job.is_open else None)
    listed = None if chosen in {None, "all"} else chosen
    page: Page[JobItem] = Page()
    if has_items:
        offset = ITEMS_SHOWN * (number - 1)
        page = list_items(session, job.id, state=listed, limit=ITEMS_SHOWN, offset=offset)
    counts = {
        "all": job.total,
        "done": job.done,
        "skipped": job.skipped,
        "failed": job.failed,
        "queued": job.total - job.done - job.skipped - job.failed,
    }
    shown = chosen or "all"
    may_act = principal.role >= Role.REVIEWER or (
        principal.role >= Role.SUBMITTER and principal.name == job.author
    )
    href = job_href(job)
    now = datetime.now(UTC)
    result_link = made_by(job, now)
    return JobPage(
        href=href,
        heading=heading_of(job),
        live=live_of(job, now),
        follow_href=f"{href}/events" if job.is_open else None,
        facts=(
            Fact("Requested by", job.author),
            Fact("On", stamp(job.created_at)),
            *_facts(job.parameters),
            *_selection(job),
            Fact("Id", str(job.id), is_code=True),
        ),
        result_text=(job.result or {}).get("detail"),
        results=_facts(job.result or {}),
        outcome=None if result_link is None else (result_link.page, result_link.text),
        items=page.items,
        item_states=ITEM_STATES,
        has_items=has_items,
        states=tuple(
            ClassCount(
                text="all" if name == "all" else ITEM_STATES[name][0],
                count=f"{n:,}",
                href=_items_href(href, name),
                is_chosen=name == shown,
            )
            for name, n in counts.items()
            if n or name in {"all", shown}
        ),
        events=list_events(session, job.id, limit=HAPPENINGS_SHOWN),
        can_cancel=may_act and job.is_open and not job.is_cancel_requested,
        can_retry=may_act and job.can_be_retried,
        retry_text="Retry what failed" if job.failed else "Continue",
        error=error,
        pages=numbered(
            number,
            counts.get(shown, 0),
            ITEMS_SHOWN,
            lambda number: _items_href(href, chosen, number),
        ),
    )


def _items_href(href: str, state: str | None, page: str | None = None) -> str:
    return f"{address(href, state=state, page=page)}#items"


def _facts(values: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Plain values with their names as words, without empty, nested or hidden ones."""
    facts = []
    for name, value in values.items():
        if name in _HIDDEN or value is None or isinstance(value, Mapping | list | tuple):
            continue
        if name in _DIGESTS:
            facts.append(Fact(_words(name), str(value)[:_DIGITS_OF_A_DIGEST], is_code=True))
        else:
            facts.append(Fact(_words(name), _value(name, value)))
    return tuple(facts)


def _selection(job: JobRecord) -> tuple[Fact, ...]:
    """The filters of an export."""
    if job.kind != "export":
        return ()
    filters = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in job.parameters["filters"].items()
    }
    return _facts(filters) or (Fact("Glitches", "all"),)


def _words(name: str) -> str:
    if name in _ABBREVIATIONS:
        return _ABBREVIATIONS[name]
    for suffix in _UNITS:
        name = name.removesuffix(suffix)
    text = name.removeprefix("n_").removeprefix("is_").replace("_", " ")
    return text[:1].upper() + text[1:]


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
        return f"{value:g} {unit}".rstrip()
    if name in _TIMES:
        return stamp(datetime.fromisoformat(str(value)))
    return str(value)[:200]
