"""What is new in the catalogue, for the page, the API, the webhook and mail."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import Field, computed_field
from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session, aliased

from app.classes.tables import ClassEvent
from app.clusters.findings import doubt_of
from app.clusters.records import population
from app.clusters.tables import Cluster, ClusteringRun, ReviewEvent
from app.core.database import lowest_id_at
from app.core.errors import InvalidRequestError
from app.core.model import Model
from app.core.wording import count
from app.glitches.tables import Glitch
from app.jobs.records import JobRecord
from app.jobs.service import create_job
from app.jobs.tables import Job

KIND = "digest"
AUTHOR = "scheduler"
MAX_DAYS = 31
AGAIN_AFTER = timedelta(hours=1)  # wait before sending again to a receiver that failed
_MAX_LISTED = 50
_ACTS = {
    "promote": "clusters named",
    "merge": "clusters or classes merged",
    "split": "clusters split",
    "dismiss": "clusters dismissed",
    "assign": "labellings of members",
    "accept": "acceptances of suggestions",
    "comment": "comments",
    "undo": "actions undone or redone",
    "create": "classes created",
}


class NewGlitches(Model):
    """Glitches that were stored, of one detector."""

    ifo: str | None
    is_simulated: bool
    count: int


class NewRun(Model):
    """A clustering and how many of its clusters wait for review; 0 if a later one replaced it."""

    id: UUID
    scope: str
    ifo: str | None
    is_simulated: bool
    author: str
    n_flagged: int
    n_clusters: int
    n_waiting: int
    findings: list[dict[str, Any]] = Field(exclude=True)

    @computed_field(description="Why its false-discovery rate may not hold.")  # type: ignore[prop-decorator]
    @property
    def doubt(self) -> str | None:
        """Why its false-discovery rate may not hold; None if nothing speaks against it."""
        return doubt_of(self.findings)

    @property
    def of(self) -> str:
        """What was clustered, for example "H1"."""
        return population(self.scope, self.ifo, is_simulated=self.is_simulated)

    @property
    def sentence(self) -> str:
        """The run in a sentence."""
        flagged = count(self.n_flagged, "glitch", "glitches")
        result = f"{flagged} flagged, {count(self.n_clusters, 'cluster', 'clusters')}"
        waiting = f"{self.n_waiting:,}" if self.n_waiting else "none"
        return f"{self.author} clustered {self.of}: {result}, {waiting} to review."


class Decisions(Model):
    """Decisions of one person about clusters and classes."""

    author: str
    what: str
    count: int


class FailedJob(Model):
    """A failed job and its reason."""

    id: UUID
    kind: str
    detail: str | None


class Digest(Model):
    """What is new since a time; of runs and failed jobs the latest fifty are named."""

    since: datetime
    until: datetime
    glitches: list[NewGlitches]
    runs: list[NewRun]
    decisions: list[Decisions]
    failed_jobs: list[FailedJob]
    n_failed_jobs: int

    @property
    def headline(self) -> str:
        """The digest in one line."""
        counts = (
            (sum(one.count for one in self.glitches), "new glitch", "new glitches"),
            # Not summed: runs of H1 and of all detectors may find the same glitches.
            *(
                (one.n_waiting, f"cluster of {one.of} to review", f"clusters of {one.of} to review")
                for one in self.runs
            ),
            (sum(one.count for one in self.decisions), "decision", "decisions"),
            (self.n_failed_jobs, "failed job", "failed jobs"),
        )
        text = ", ".join(count(number, one, many) for number, one, many in counts if number)
        return text or "nothing is new"

    @property
    def sentences(self) -> list[str]:
        """The digest in sentences; a single one if nothing is new."""
        stored = ", ".join(
            f"{one.count:,} new{' simulated' * one.is_simulated} "
            f"{'glitch' if one.count == 1 else 'glitches'} of {one.ifo or 'an unknown detector'}"
            for one in self.glitches
        )
        lines = [f"{stored}."] if stored else []
        for run in self.runs:
            lines += [run.sentence, *([run.doubt] if run.doubt else [])]
        lines += [f"{one.author}: {one.what} {one.count:,}." for one in self.decisions]
        lines += [
            f"A job of kind {one.kind} failed: {one.detail or 'no reason is known.'}"
            for one in self.failed_jobs
        ]
        if self.n_failed_jobs > len(self.failed_jobs):
            lines.append(f"{self.n_failed_jobs - len(self.failed_jobs):,} more jobs failed.")
        return lines or ["Nothing is new."]

    @property
    def message(self) -> list[str]:
        """The lines of a message: the start time and the sentences."""
        return [f"Since {self.since:%Y-%m-%d %H:%M} UTC:", *self.sentences]


def digest(session: Session, *, days: int = 1, since: datetime | None = None) -> Digest:
    """Collect what is new in the last days, or since a time."""
    if not 1 <= days <= MAX_DAYS:
        raise InvalidRequestError(
            f"days must be between 1 and {MAX_DAYS}, not {days}: 1 is since yesterday.",
            field="days",
        )
    until = datetime.now(UTC)
    since = since or until - timedelta(days=days)
    glitches = session.execute(
        select(Glitch.ifo, Glitch.is_simulated, func.count().label("count"))
        # Ids are indexed and sorted by time of creation, by the clock of the machine at that time.
        .where(Glitch.id >= lowest_id_at(since), Glitch.id < lowest_id_at(until))
        .group_by(Glitch.ifo, Glitch.is_simulated)
        .order_by(Glitch.is_simulated, Glitch.ifo)
    )
    later = aliased(ClusteringRun)
    in_run = select(func.count()).where(Cluster.run_id == ClusteringRun.id)
    n_clusters = in_run.where(Cluster.state != "split").correlate(ClusteringRun).scalar_subquery()
    n_waiting = (
        in_run.where(
            Cluster.state == "flagged",
            ~exists()
            .where(later.previous_run_id == ClusteringRun.id)  # they wait in the later run
            .correlate(ClusteringRun),
        )
        .correlate(ClusteringRun)
        .scalar_subquery()
        .label("n_waiting")
    )
    runs = session.execute(
        select(
            *(ClusteringRun.id, ClusteringRun.scope, ClusteringRun.ifo),
            *(ClusteringRun.is_simulated, ClusteringRun.author, ClusteringRun.n_flagged),
            *(n_clusters.label("n_clusters"), n_waiting),  # after splits by reviewers
            ClusteringRun.findings,
        )
        .where(ClusteringRun.created_at.between(since, until))
        .order_by(ClusteringRun.created_at.desc())
        .limit(_MAX_LISTED)
    )
    acts = Counter(
        act for table in (ReviewEvent, ClassEvent) for act in _decided(session, table, since, until)
    )
    has_failed = Job.state == "failed", Job.finished_at.between(since, until)
    n_failed = session.scalar(select(func.count()).select_from(Job).where(*has_failed)) or 0
    failed = session.execute(
        select(Job.id, Job.kind, Job.detail)
        .where(*has_failed)
        .order_by(Job.finished_at.desc())
        .limit(_MAX_LISTED)
    )
    return Digest(
        since=since,
        until=until,
        glitches=[NewGlitches.model_validate(row) for row in glitches],
        runs=[NewRun.model_validate(row) for row in runs],
        decisions=[
            Decisions(author=author, what=what, count=number)
            for (author, what), number in sorted(acts.items())
        ],
        failed_jobs=[FailedJob.model_validate(row) for row in failed],
        n_failed_jobs=n_failed,
    )


def _decided(
    session: Session, table: type[ReviewEvent] | type[ClassEvent], since: datetime, until: datetime
) -> Iterator[tuple[str, str]]:
    """Yield author and action of the events that are in force, that is, not undone since."""
    events = session.execute(
        select(table.id, table.author, table.kind, table.undoes_event_id)
        .where(table.created_at.between(since, until))
        .order_by(table.id.desc())
    ).all()
    new = {event.id for event in events}
    undone = set[int]()  # filled from the latest event, which nothing undid
    for event in events:
        if event.undoes_event_id in new:
            if event.id not in undone:
                undone.add(event.undoes_event_id)
        elif event.id not in undone:
            yield event.author, _ACTS.get(event.kind, "classes changed")


@dataclass(frozen=True)
class Delivery:
    """The result of sending a digest to a receiver."""

    sentence: str
    is_accepted: bool  # by at least one address; if not, it is sent again


def unsent(session: Session, receiver: str) -> Digest:
    """Collect what is new in the last day, or since the receiver last accepted a digest.

    The earlier of the two is used, so that nothing is left out if a worker was busy, the service
    was off or the receiver was down. Only daily digests count, not those that a clustering sends.
    """
    now = datetime.now(UTC)
    until, since = Job.result["until"].astext, Job.result["since"].astext
    is_daily = Job.kind == KIND, Job.author == AUTHOR, Job.state == "succeeded", _is_no_future(now)
    is_taken, is_refused = (Job.result[name].contains([receiver]) for name in ("taken", "refused"))
    begins = session.scalar(
        select(
            func.coalesce(
                select(func.max(until)).where(*is_daily, is_taken).scalar_subquery(),
                select(func.min(since)).where(*is_daily, is_refused).scalar_subquery(),
            )
        )
    )
    day = now - timedelta(days=1)
    begins = day if begins is None else min(day, datetime.fromisoformat(begins))
    return digest(session, since=max(begins, now - timedelta(days=MAX_DAYS)))


def _is_no_future(now: datetime) -> ColumnElement[bool]:
    """Exclude jobs that a wrong clock dated in the future: they would block digests until then."""
    return Job.created_at < now + timedelta(days=1)


class Sending(Model):
    """The latest notification of what is new, and whether it arrived."""

    job: UUID
    finished_at: datetime
    sent: str


def last_sending(session: Session) -> Sending | None:
    """Return the latest notification; None if none was ever sent."""
    row = session.execute(
        select(Job.id.label("job"), Job.finished_at, Job.result["sent"].astext.label("sent"))
        .where(Job.kind == KIND, Job.state == "succeeded", Job.result.has_key("sent"))
        .order_by(Job.finished_at.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else Sending.model_validate(row)


def request_due(session: Session) -> JobRecord | None:
    """Create the job that sends today's digest (UTC), or repeats a failed one after an hour.

    Returns None if neither is due.
    """
    now = datetime.now(UTC)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    of_today = select(Job).where(Job.kind == KIND, Job.created_at >= today, _is_no_future(now))
    if session.scalar(of_today.where(Job.author == AUTHOR).limit(1)) is None:
        return create_job(session, KIND, {}, AUTHOR, key=f"{today:%Y-%m-%d}")
    last = session.scalars(of_today.order_by(Job.created_at.desc(), Job.id.desc()).limit(1)).one()
    refused = (last.result or {}).get("refused")
    if not refused or last.finished_at is None or last.finished_at > now - AGAIN_AFTER:
        return None
    return create_job(session, KIND, {"receivers": refused}, AUTHOR, key=f"again {today:%Y-%m-%d}")
