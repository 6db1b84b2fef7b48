"""Clusters of explicitly selected members: parts of a split, and selections made on the map."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from app.clusters.selection import Selection, columns_of
from app.clusters.storage import store_members
from app.clusters.summary import summarise
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.access import Principal, Role, record_event, require_role
from app.core.database import is_any_of, uuid7
from app.core.errors import ConflictError, InvalidRequestError
from app.glitches.tables import Embedding, Glitch
from app.models.checkpoints import active_checkpoint
from glitch.clustering import describe_cluster, unit_vectors

MIN_MEMBERS, MAX_MEMBERS = 2, 10_000  # members of a cluster made by hand
_ONE_AT_A_TIME = 4_202_611_291  # key of an advisory lock; arbitrary


def cluster_by_hand(session: Session, glitch_ids: Iterable[UUID], *, author: Principal) -> UUID:
    """Make the selected glitches a flagged cluster of the latest run, and return its id.

    If a cluster of exactly this selection is still waiting for review, return its id instead.

    Raises:
        PermissionDeniedError: if the author is not a reviewer.
        InvalidRequestError: if there are too few or too many glitches.
        ConflictError: if simulated and measured glitches are mixed, if some glitches have no
            embedding, or if the active model has no run of glitches of this origin.
    """
    require_role(author, Role.REVIEWER)
    ids = sorted(set(glitch_ids))
    if not MIN_MEMBERS <= len(ids) <= MAX_MEMBERS:
        raise InvalidRequestError(
            f"A cluster has {MIN_MEMBERS} to {MAX_MEMBERS:,} members, not {len(ids):,}: "
            "select others."
        )
    origins = set(session.scalars(select(Glitch.origin).where(Glitch.id.in_(ids)).distinct()))
    is_simulated = "simulated" in origins
    if is_simulated and len(origins) > 1:
        raise ConflictError(
            "Some of these glitches are simulated and others are not, and they are never clustered "
            "together: select one origin."
        )
    hold_selections(session)
    run = session.scalars(
        select(ClusteringRun)
        .where(
            ClusteringRun.is_simulated.is_(is_simulated),
            ClusteringRun.checkpoint_id == active_checkpoint(session).id,
        )
        .order_by(ClusteringRun.created_at.desc(), ClusteringRun.id.desc())
    ).first()
    if run is None:
        kind = "simulated" if is_simulated else "measured"
        raise ConflictError(
            f"No {kind} glitches have been clustered with the active model yet: start a "
            "clustering, then make the selection a cluster."
        )
    waiting = _waiting_of(session, ids)
    if waiting is not None:
        return waiting
    by_hand, members = {"by_hand": author.name}, dict.fromkeys(ids, 1.0)
    # no test was made
    cluster_id = store_chosen(session, run, members, stability=1.0, significance=None, more=by_hand)
    record_event(session, author.name, "create", "cluster", cluster_id, n_glitches=len(ids))
    return cluster_id


def hold_selections(session: Session) -> None:
    """Take the lock under which clusters are made by hand, until the transaction ends.

    A run takes it before it commits, so that no selection is made while the run ends.
    """
    session.execute(select(func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))


def _waiting_of(session: Session, glitch_ids: Sequence[UUID]) -> UUID | None:
    """Return the id of a flagged cluster made by hand of exactly these glitches, if any."""
    later = aliased(Cluster)
    n_among = select(func.count()).where(
        ClusterMember.cluster_id == Cluster.id, is_any_of(ClusterMember.glitch_id, glitch_ids)
    )
    return session.scalar(
        select(Cluster.id)
        .where(
            Cluster.state == "flagged",
            Cluster.summary.has_key("by_hand"),
            Cluster.size == len(glitch_ids),
            n_among.correlate(Cluster).scalar_subquery() == len(glitch_ids),
            ~exists().where(later.identity == Cluster.identity, later.id > Cluster.id),
        )
        .limit(1)
    )


def store_chosen(
    session: Session,
    run: ClusteringRun,
    probabilities: Mapping[UUID, float],
    *,
    stability: float,
    significance: float | None,
    more: Mapping[str, Any],
    identity: UUID | None = None,
    previous: Cluster | None = None,
) -> UUID:
    """Store a flagged cluster of these members in a run, and return its id.

    ``probabilities`` holds the probability of membership of each. ``more`` is added to the
    summary. Without an ``identity`` it has its own. ``previous`` is the cluster from which this one
    was split, if any.
    """
    cluster_id = uuid7()
    chosen = _select(session, run, sorted(probabilities), previous)
    positions = np.arange(len(chosen.ids))
    cluster = describe_cluster(
        unit_vectors(chosen.vectors),
        positions,
        np.array([probabilities[one] for one in chosen.ids]),
        stability,
    )
    summary = summarise(session, run, chosen, cluster)
    session.add(
        Cluster(
            id=cluster_id,
            run_id=run.id,
            identity=identity or cluster_id,
            previous_id=None if previous is None else previous.id,
            overlap=None if previous is None else len(chosen.ids) / previous.size,
            size=len(chosen.ids),
            stability=stability,
            significance=significance,
            medoid_id=chosen.ids[cluster.medoid],
            state="flagged",
            summary={**summary, "previous_size": None, **more},
        )
    )
    session.flush()
    store_members(session, cluster_id, chosen, cluster)
    return cluster_id


def _select(
    session: Session, run: ClusteringRun, glitch_ids: Sequence[UUID], whole: Cluster | None
) -> Selection:
    """Read these glitches in the form in which a run clusters them.

    The parts of a split keep the predicted classes that the members have in ``whole``.
    """
    rows = session.execute(
        select(Glitch.id, Glitch.ifo, Glitch.gps_time, Embedding.mean)
        .join(Embedding, Embedding.glitch_id == Glitch.id)
        .where(Embedding.checkpoint_id == run.checkpoint_id, Glitch.id.in_(glitch_ids))
        .order_by(Glitch.id)
    ).all()
    if len(rows) < len(glitch_ids):
        raise ConflictError(
            "The model of this clustering has not embedded all of these glitches: cluster again."
        )
    tested = select(ClusterMember.glitch_id, ClusterMember.predicted_id).where(
        ClusterMember.cluster_id == (None if whole is None else whole.id),
        is_any_of(ClusterMember.glitch_id, glitch_ids),
    )
    return Selection(
        **columns_of(rows),
        weights=np.ones(len(rows)),
        predicted={key: near for key, near in session.execute(tested) if near is not None},
    )
