"""What the templates of jobs are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from app.frame.contexts import ClassCount, Fact, PageContext
from app.jobs.records import JobEvent, JobItem, JobRecord


@dataclass(frozen=True)
class Progress:
    """How far a job is, in words and as the parts of a bar 100 wide."""

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


@dataclass(frozen=True)
class JobsPage(PageContext):
    """The jobs, latest first."""

    template: ClassVar[str] = "jobs.html"
    section: ClassVar[str] = "jobs"

    rows: tuple[JobRow, ...]
    states: tuple[ClassCount, ...]
    kinds: tuple[ClassCount, ...]
    error: str | None
    is_narrowed: bool
    can_start: bool
    first_href: str | None
    next_href: str | None


@dataclass(frozen=True)
class FollowedJob:
    """A job at work on whose page's result another page waits."""

    title: str
    text: str  # what will be here once it is done
    href: str
    live: JobLive


@dataclass(frozen=True)
class JobLive:
    """The part of a job's page that changes while it works."""

    state: str
    level: str
    progress: Progress | None
    detail: str | None
    is_stopping: bool  # a cancel was asked for, and it is still at work
    took: str | None


@dataclass(frozen=True)
class JobFragment:
    """That part alone, as the event stream sends it."""

    live: JobLive


@dataclass(frozen=True)
class JobPage(PageContext):
    """One job."""

    template: ClassVar[str] = "job.html"
    section: ClassVar[str] = "jobs"

    href: str
    heading: str
    live: JobLive
    follow_href: str | None  # of its events, while it is open
    facts: tuple[Fact, ...]
    result_text: str | None  # what came of it in sentences, where the job has some
    results: tuple[Fact, ...]
    outcome: tuple[str, str] | None  # address and text of what it made
    items: tuple[JobItem, ...]
    item_states: Mapping[str, tuple[str, str]]  # what each is called, and which look it has
    has_items: bool
    states: tuple[ClassCount, ...]  # links that choose which items are listed
    happenings: tuple[JobEvent, ...]
    can_cancel: bool
    can_retry: bool
    retry_text: str
    error: str | None
    first_href: str | None
    next_href: str | None
