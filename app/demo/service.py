"""The demonstration: load it, check for it, remove it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, cast, delete, exists, or_, select, union, update
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.orm import Session

from app.classes.audit.tables import LabelAudit
from app.clusters.review.service import history, review
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.access import Principal, Role, record_event, require_role
from app.core.errors import ConflictError
from app.core.events import UndoRequest
from app.demo.plan import KIND, LABEL_SOURCE, PER_CLASS
from app.glitches.tables import Glitch, Label
from app.jobs.records import OPEN_STATES, JobRecord
from app.jobs.service import cancel_job, create_job, latest_job
from app.jobs.tables import Job, JobItem
from app.map.service import redraw_after_removal
from app.map.tables import Projection
from app.models.checkpoints import active_checkpoint
from app.novelty.catalogue import recalibrate

AUTHOR = Principal(token_id=UUID(int=0), name="demonstration", role=Role.SUBMITTER)
_EARLIER_AUTHOR = "demo catalogue"  # who labelled what versions before this one loaded


@dataclass(frozen=True)
class Demonstration:
    """What there is of it."""

    job: JobRecord | None  # the latest load; None: one by an earlier version of the program
    is_there: bool  # whether any of its glitches is in the catalogue

    @property
    def is_loading(self) -> bool:
        """Whether workers still fill it."""
        return self.job is not None and self.job.is_open


def start_at_first(session: Session, per_class: int) -> JobRecord | None:
    """Load the demonstration into a catalogue that never held anything; None where it did.

    So one that was removed does not come back at the next start.
    """
    has_glitches = session.scalar(select(exists(select(Glitch.id))))
    if has_glitches or latest_job(session, KIND) is not None:
        return None
    return _start(session, per_class, AUTHOR)


def start_demonstration(session: Session, *, principal: Principal) -> JobRecord:
    """Have the workers load it, or what is missing of it: as large as it was before."""
    require_role(principal, Role.ADMIN)
    active_checkpoint(session)
    before = demonstration(session).job
    per_class = PER_CLASS if before is None else int(before.parameters["per_class"])
    return _start(session, per_class, principal)


def demonstration(session: Session) -> Demonstration:
    """The state of the demonstration."""
    job = latest_job(session, KIND)
    return Demonstration(job, bool(session.scalar(select(exists(_glitches())))))


def remove_demonstration(session: Session, *, principal: Principal) -> int:
    """Take it out of the catalogue with all that was made of it; how many glitches went.

    Where there was a map, one of what is left is drawn.

    What its clusters were named is undone as far as nothing else rests on it. The record of who did
    what stays. A load that is at work is cancelled, and stores nothing more.
    """
    require_role(principal, Role.ADMIN)
    open_ones = select(Job.id).where(
        Job.state.in_(OPEN_STATES), or_(Job.kind == KIND, Job.author == AUTHOR.name)
    )
    for job_id in session.scalars(open_ones).all():
        cancel_job(session, job_id, principal)
    runs = _runs(session)
    _undo_reviews(session, runs, principal)
    made_by = select(Job.id).where(Job.author == AUTHOR.name)
    session.execute(delete(LabelAudit).where(LabelAudit.id.in_(made_by)))
    session.execute(delete(ClusteringRun).where(ClusteringRun.id.in_(runs)))
    gone = session.execute(delete(Glitch).where(Glitch.id.in_(_glitches())).returning(Glitch.id))
    n_gone = len(gone.all())
    if n_gone:
        _clear_simulated_looks(session)
        recalibrate(session, active_checkpoint(session).id)
        redraw_after_removal(session, principal.name)
        record_event(session, principal.name, "remove", "demonstration", "all", glitches=n_gone)
    session.execute(delete(Projection).where(Projection.job_id.in_(made_by)))
    return n_gone


def _clear_simulated_looks(session: Session) -> None:
    """Clear the simulated look of clusters of other glitches when no simulated glitch is left."""
    looks = Cluster.summary["simulated_look"].as_string()
    none = cast({"simulated_look": None}, JSONB)
    session.execute(
        update(Cluster)
        .where(looks.is_not(None), ~exists(select(Glitch.id).where(Glitch.is_simulated)))
        .values(summary=Cluster.summary.op("||")(none))
    )


def _start(session: Session, per_class: int, author: Principal) -> JobRecord:
    return create_job(session, KIND, {"per_class": per_class}, author.name, key=KIND)


def _glitches() -> Select[tuple[UUID]]:
    """The ids of what any load stored, by this version or one before."""
    loaded = (
        select(JobItem.glitch_id)
        .join(Job, Job.id == JobItem.job_id)
        .where(Job.kind == KIND, JobItem.glitch_id.is_not(None))
    )
    earlier = select(Label.glitch_id).where(
        Label.source == LABEL_SOURCE, Label.author == _EARLIER_AUTHOR
    )
    both = union(loaded, earlier).subquery()
    return select(both.c.glitch_id)


def _runs(session: Session) -> list[UUID]:
    """Clusterings of nothing but its glitches, and those that it had made itself."""
    has_others = (
        select(ClusterMember.glitch_id)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .where(Cluster.run_id == ClusteringRun.id, ClusterMember.glitch_id.not_in(_glitches()))
    )
    return list(
        session.scalars(
            select(ClusteringRun.id)
            .where(ClusteringRun.is_simulated, ~exists(has_others))
            .order_by(ClusteringRun.id)
        )
    )


def _undo_reviews(session: Session, runs: Sequence[UUID], principal: Principal) -> None:
    """Take back what was decided about its clusters, the last act first."""
    latest = (
        select(Cluster.id)
        .where(Cluster.run_id.in_(runs))
        .ext(distinct_on(Cluster.identity))
        .order_by(Cluster.identity, Cluster.id.desc())
    )
    for cluster_id in session.scalars(latest).all():
        while session.get(Cluster, cluster_id) is not None:  # undoing a split removes its part
            log = history(session, cluster_id)
            if not log.done:
                break
            try:
                act = UndoRequest.made(event_id=log.done[-1], last_event_id=log.last_id)
                review(session, cluster_id, act, author=principal)
            except ConflictError:
                break  # somebody built on it: their part of it stays
