"""The demonstration: load it, get its state, remove it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, delete, exists, or_, select
from sqlalchemy.orm import Session

from app.classes.audit.tables import LabelAudit
from app.clusters.identities import current_clusters
from app.clusters.review.service import history, review
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.access import Principal, Role, record_event, require_role
from app.core.errors import ConflictError
from app.core.events import UndoRequest
from app.demo.plan import KIND, PER_CLASS
from app.glitches.tables import Glitch
from app.jobs.records import OPEN_STATES, JobRecord
from app.jobs.service import cancel_job, create_job, latest_job
from app.jobs.tables import Job, JobItem
from app.map.service import redraw_after_removal
from app.map.tables import Projection
from app.models.checkpoints import active_checkpoint
from app.novelty.catalogue import recalibrate

AUTHOR = Principal(token_id=UUID(int=0), name="demonstration", role=Role.SUBMITTER)


@dataclass(frozen=True)
class Demonstration:
    """The state of the demonstration."""

    job: JobRecord | None  # the latest load; None: never
    is_loaded: bool  # whether the catalogue has any of its glitches

    @property
    def is_loading(self) -> bool:
        """Whether workers are still loading it."""
        return self.job is not None and self.job.is_open


def start_at_first(session: Session, per_class: int) -> JobRecord | None:
    """Load the demonstration if the catalogue never held anything; otherwise return None.

    A demonstration that was removed is therefore not loaded again at the next start.
    """
    has_glitches = session.scalar(select(exists(select(Glitch.id))))
    if has_glitches or latest_job(session, KIND) is not None:
        return None
    return _start(session, per_class, AUTHOR)


def start_demonstration(session: Session, *, principal: Principal) -> JobRecord:
    """Start to load the demonstration or its missing part, in its previous size.

    Raises:
        PermissionDeniedError: if the caller is not an admin.
        NotReadyError: if no checkpoint is active.
    """
    require_role(principal, Role.ADMIN)
    active_checkpoint(session)
    before = demonstration(session).job
    per_class = PER_CLASS if before is None else int(before.parameters["per_class"])
    return _start(session, per_class, principal)


def demonstration(session: Session) -> Demonstration:
    """Return the state of the demonstration."""
    job = latest_job(session, KIND)
    return Demonstration(job, bool(session.scalar(select(exists(_glitches())))))


def remove_demonstration(session: Session, *, principal: Principal) -> int:
    """Remove the demonstration and everything derived from it; return the number of glitches.

    If there was a map, a new one is drawn of the remaining glitches. Reviews of its clusters are
    undone unless something else depends on them. The audit trail is kept. A load in progress is
    cancelled and stores nothing more.

    Raises:
        PermissionDeniedError: if the caller is not an admin.
    """
    require_role(principal, Role.ADMIN)
    open_jobs = select(Job.id).where(
        Job.state.in_(OPEN_STATES), or_(Job.kind == KIND, Job.author == AUTHOR.name)
    )
    for job_id in session.scalars(open_jobs).all():
        cancel_job(session, job_id, principal)
    runs = _runs(session)
    _undo_reviews(session, runs, principal)
    made_by = select(Job.id).where(Job.author == AUTHOR.name)
    session.execute(delete(LabelAudit).where(LabelAudit.id.in_(made_by)))
    session.execute(delete(ClusteringRun).where(ClusteringRun.id.in_(runs)))
    removed = session.execute(delete(Glitch).where(Glitch.id.in_(_glitches())).returning(Glitch.id))
    n_gone = len(removed.all())
    if n_gone:
        recalibrate(session, active_checkpoint(session).id)
        redraw_after_removal(session, principal.name)
        record_event(session, principal.name, "remove", "demonstration", "all", glitches=n_gone)
    session.execute(delete(Projection).where(Projection.job_id.in_(made_by)))
    return n_gone


def _start(session: Session, per_class: int, author: Principal) -> JobRecord:
    return create_job(session, KIND, {"per_class": per_class}, author.name, key=KIND)


def _glitches() -> Select[UUID | None]:
    """Select the ids of glitches stored by any load."""
    return (
        select(JobItem.glitch_id)
        .join(Job, Job.id == JobItem.job_id)
        .where(Job.kind == KIND, JobItem.glitch_id.is_not(None))
    )


def _runs(session: Session) -> list[UUID]:
    """Return the clusterings that contain none but the demonstration's glitches."""
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
    """Undo the reviews of its clusters, the latest action first."""
    current = current_clusters(Cluster.run_id.in_(runs)).with_only_columns(Cluster.id)
    for cluster_id in session.scalars(current).all():
        # undoing a split removes the part that was split off
        while session.get(Cluster, cluster_id) is not None:
            log = history(session, cluster_id)
            if not log.done:
                break
            try:
                act = UndoRequest.unchecked(event_id=log.done[-1], last_event_id=log.last_id)
                review(session, cluster_id, act, author=principal)
            except ConflictError:
                break  # somebody built on it, so this part stays
