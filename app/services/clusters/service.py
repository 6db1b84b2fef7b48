"""Clusters for whoever looks at them: start a clustering, list, look inside."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from app.services import checkpoints
from app.services.clusters.records import (
    ClusteringParameters,
    ClusterRecord,
    MemberRecord,
    RunRecord,
)
from app.services.clusters.run import to_run_record
from app.services.errors import InvalidRequestError, NotFoundError
from app.services.jobs.records import JobRecord
from app.services.jobs.service import create_job
from app.services.records import Page, Principal, Role
from app.services.selection import check_ifo, select_glitches, to_record
from app.services.tokens import require_role
from app.store.cluster_models import CLUSTER_STATES, Cluster, ClusteringRun, ClusterMember
from app.store.models import Glitch

KIND = "cluster"
LARGEST_PAGE = 500
_WRONG_CURSOR = "That cursor is not one of this list: start from its top."


def start_clustering(
    session: Session, parameters: ClusteringParameters, *, principal: Principal
) -> JobRecord:
    """Have the workers cluster the catalogue; the job's result names the run.

    Raises:
        PermissionDeniedError: if the caller may only read.
        InvalidRequestError: if a parameter cannot be.
        GlitchError: if the false-discovery rate is none.
        NotReadyError: if no checkpoint is active.
    """
    require_role(principal, Role.SUBMITTER)
    parameters.check()
    checkpoints.active_checkpoint(session)
    wanted = asdict(parameters)
    # Asked for twice, it is done once.
    key = " ".join(f"{name}={wanted[name]}" for name in sorted(wanted))
    return create_job(session, KIND, wanted, principal.name, key=key)


def latest_run(session: Session) -> RunRecord | None:
    """The latest clustering; None if there was none."""
    row = session.scalar(
        select(ClusteringRun).order_by(ClusteringRun.created_at.desc(), ClusteringRun.id.desc())
    )
    return None if row is None else to_run_record(row)


def get_run(session: Session, run_id: UUID) -> RunRecord:
    """The clustering of this id.

    Raises:
        NotFoundError: if there is none.
    """
    row = session.get(ClusteringRun, run_id)
    if row is None:
        raise NotFoundError(f"There is no clustering {run_id}: `GET /clusters/runs` lists them.")
    return to_run_record(row)


def list_runs(session: Session, *, limit: int = 50, cursor: str | None = None) -> Page[RunRecord]:
    """Clusterings, latest first.

    Raises:
        InvalidRequestError: if the limit or the cursor means nothing.
    """
    _check_limit(limit)
    query = select(ClusteringRun).order_by(ClusteringRun.created_at.desc(), ClusteringRun.id.desc())
    if cursor is not None:
        last = session.get(ClusteringRun, _uuid(cursor))
        if last is None:
            raise InvalidRequestError(_WRONG_CURSOR)
        query = query.where(
            or_(
                ClusteringRun.created_at < last.created_at,
                and_(ClusteringRun.created_at == last.created_at, ClusteringRun.id < last.id),
            )
        )
    rows = list(session.scalars(query.limit(limit + 1)))
    shown = tuple(map(to_run_record, rows[:limit]))
    return Page(shown, str(shown[-1].id) if len(rows) > limit else None)


def list_clusters(
    session: Session,
    *,
    run_id: UUID | None = None,
    identity: UUID | None = None,
    state: str | None = None,
    ifo: str | None = None,
    min_size: int | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[ClusterRecord]:
    """Clusters, largest first.

    Args:
        session: The transaction to read in.
        run_id: Of this run; if neither it nor ``identity`` is given, of the latest.
        identity: This cluster through all runs.
        state: In this state.
        ifo: With members of this detector.
        min_size: With at least so many members.
        limit: Clusters on a page, 1 to 500.
        cursor: ``next`` of the page before.

    Raises:
        InvalidRequestError: if a filter, the limit or the cursor means nothing.
        NotFoundError: if there is no such run.
    """
    _check_limit(limit)
    query = select(Cluster).order_by(Cluster.size.desc(), Cluster.id)
    if run_id is not None and session.get(ClusteringRun, run_id) is None:
        raise NotFoundError(f"There is no clustering {run_id}: `GET /clusters/runs` lists them.")
    if run_id is None and identity is None:
        latest = latest_run(session)
        if latest is None:
            return Page((), None)
        run_id = latest.id
    if run_id is not None:
        query = query.where(Cluster.run_id == run_id)
    if identity is not None:
        query = query.where(Cluster.identity == identity)
    if state is not None:
        if state not in CLUSTER_STATES:
            raise InvalidRequestError(
                f"There is no state {state[:40]!r}; known: {', '.join(CLUSTER_STATES)}."
            )
        query = query.where(Cluster.state == state)
    if ifo is not None:
        check_ifo(ifo)
        query = query.where(Cluster.summary["ifos"].has_key(ifo))
    if min_size is not None:
        query = query.where(Cluster.size >= min_size)
    if cursor is not None:
        last = session.get(Cluster, _uuid(cursor))
        if last is None:
            raise InvalidRequestError(_WRONG_CURSOR)
        query = query.where(
            or_(
                Cluster.size < last.size,
                and_(Cluster.size == last.size, Cluster.id > last.id),
            )
        )
    rows = list(session.scalars(query.limit(limit + 1)))
    shown = tuple(map(to_cluster_record, rows[:limit]))
    return Page(shown, str(shown[-1].id) if len(rows) > limit else None)


def get_cluster(session: Session, cluster_id: UUID) -> ClusterRecord:
    """The cluster of this id.

    Raises:
        NotFoundError: if there is none.
    """
    row = session.get(Cluster, cluster_id)
    if row is None:
        raise NotFoundError(f"There is no cluster {cluster_id}: `GET /clusters` lists them.")
    return to_cluster_record(row)


def list_members(
    session: Session,
    cluster_id: UUID,
    *,
    is_exemplar: bool | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[MemberRecord]:
    """The members of a cluster, from its medoid outwards.

    Raises:
        NotFoundError: if there is no such cluster.
        InvalidRequestError: if the limit or the cursor means nothing.
    """
    get_cluster(session, cluster_id)
    _check_limit(limit)
    about: list[Any] = [
        ClusterMember.probability,
        ClusterMember.distance,
        ClusterMember.is_exemplar,
    ]
    query: Select[*tuple[Any, ...]] = (
        select_glitches(*about)
        .join(ClusterMember, ClusterMember.glitch_id == Glitch.id)
        .where(ClusterMember.cluster_id == cluster_id)
        .order_by(ClusterMember.distance, ClusterMember.glitch_id)
    )
    if is_exemplar is not None:
        query = query.where(ClusterMember.is_exemplar.is_(is_exemplar))
    if cursor is not None:
        last = session.get(ClusterMember, (cluster_id, _uuid(cursor)))
        if last is None:
            raise InvalidRequestError(_WRONG_CURSOR)
        query = query.where(
            or_(
                ClusterMember.distance > last.distance,
                and_(
                    ClusterMember.distance == last.distance,
                    ClusterMember.glitch_id > last.glitch_id,
                ),
            )
        )
    rows = session.execute(query.limit(limit + 1)).all()
    shown = tuple(
        MemberRecord(to_record(row), row.probability, row.distance, row.is_exemplar)
        for row in rows[:limit]
    )
    return Page(shown, str(shown[-1].glitch.id) if len(rows) > limit else None)


def to_cluster_record(row: Cluster) -> ClusterRecord:
    """The row as services hand it out."""
    return ClusterRecord(
        **{name: getattr(row, name) for name in ClusterRecord.__dataclass_fields__}
    )


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LARGEST_PAGE:
        raise InvalidRequestError(f"limit must be from 1 to {LARGEST_PAGE}.")


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise InvalidRequestError(_WRONG_CURSOR) from None
