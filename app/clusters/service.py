"""Clusters for whoever looks at them: start a clustering, list, look inside."""

from dataclasses import asdict, dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Numeric, cast, select
from sqlalchemy.orm import Session

from app.clusters import records
from app.clusters.records import ClusteringParameters, MemberRecord, Run
from app.clusters.tables import CLUSTER_STATES, Cluster, ClusteringRun, ClusterMember
from app.core.access import Principal, Role, require_role
from app.core.errors import InvalidRequestError, NotFoundError
from app.core.paging import Page, check_limit, read_page
from app.glitches.selection import check_ifo, select_glitches, to_record
from app.glitches.tables import Glitch
from app.jobs.records import JobRecord
from app.jobs.service import create_job
from app.models import checkpoints

KIND = "cluster"
LARGEST_PAGE = 500
Order = Literal["distance", "time"]


@dataclass(frozen=True)
class ClusterFilters:
    """Which clusters to show; an absent filter lets everything pass."""

    state: str | None = None
    ifo: str | None = None
    min_size: int | None = None
    gps_start: Decimal | None = None  # s; clusters that lasted into it
    gps_end: Decimal | None = None  # s; clusters that began before it
    change: str | None = None  # since the run before: new, grown, shrunk or same


_NO_FILTERS = ClusterFilters()


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


def latest_run(session: Session) -> Run | None:
    """The latest clustering; None if there was none."""
    row = session.scalar(
        select(ClusteringRun).order_by(ClusteringRun.created_at.desc(), ClusteringRun.id.desc())
    )
    return None if row is None else Run.model_validate(row)


def get_run(session: Session, run_id: UUID) -> Run:
    """The clustering of this id.

    Raises:
        NotFoundError: if there is none.
    """
    row = session.get(ClusteringRun, run_id)
    if row is None:
        raise NotFoundError(f"There is no clustering {run_id}: `GET /clusters/runs` lists them.")
    return Run.model_validate(row)


def list_runs(session: Session, *, limit: int = 50, cursor: str | None = None) -> Page[Run]:
    """Clusterings, latest first.

    Raises:
        InvalidRequestError: if the limit or the cursor means nothing.
    """
    check_limit(limit, LARGEST_PAGE)
    order = (ClusteringRun.created_at, True), (ClusteringRun.id, True)
    query = select(ClusteringRun)
    return read_page(
        session, query, lambda row: Run.model_validate(row[0]), order, limit, cursor=cursor
    )


def list_clusters(
    session: Session,
    filters: ClusterFilters = _NO_FILTERS,
    *,
    run_id: UUID | None = None,
    identity: UUID | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[records.Cluster]:
    """Clusters of a run, or one cluster through all runs, largest first; else of the latest run.

    Raises:
        InvalidRequestError: if a filter, the limit or the cursor means nothing.
        NotFoundError: if there is no such run.
    """
    check_limit(limit, LARGEST_PAGE)
    query = select(Cluster)
    if run_id is not None or identity is None:
        run = latest_run(session) if run_id is None else get_run(session, run_id)
        if run is None:
            return Page()
        query = query.where(Cluster.run_id == run.id)
    if identity is not None:
        query = query.where(Cluster.identity == identity)
    query = query.where(*cluster_conditions(filters))
    order = (Cluster.size, True), (Cluster.id, False)
    seen = records.Cluster.model_validate
    return read_page(session, query, lambda row: seen(row[0]), order, limit, cursor=cursor)


def cluster_conditions(filters: ClusterFilters) -> list[ColumnElement[bool]]:
    """What the filters mean in SQL.

    Raises:
        InvalidRequestError: if there is no such state or detector.
    """
    conditions: list[ColumnElement[bool]] = []
    if filters.state is not None:
        if filters.state not in CLUSTER_STATES:
            raise InvalidRequestError(
                f"There is no state {filters.state[:40]!r}; known: {', '.join(CLUSTER_STATES)}."
            )
        conditions.append(Cluster.state == filters.state)
    if filters.ifo is not None:
        check_ifo(filters.ifo)
        conditions.append(Cluster.summary["ifos"].has_key(filters.ifo))
    if filters.change is not None:
        conditions.append(change_condition(filters.change))
    if filters.min_size is not None:
        conditions.append(Cluster.size >= filters.min_size)
    first, last = (
        cast(Cluster.summary["gps_times"][name].astext, Numeric) for name in ("first", "last")
    )
    if filters.gps_start is not None:
        conditions.append(last >= filters.gps_start)
    if filters.gps_end is not None:
        conditions.append(first <= filters.gps_end)
    return conditions


def change_condition(change: str) -> ColumnElement[bool]:
    """Clusters that are new, grown, shrunk or of the same size since the run before."""
    before = cast(Cluster.summary["previous_size"].astext, Integer)
    return {
        "new": before.is_(None),
        "grown": Cluster.size > before,
        "shrunk": Cluster.size < before,
        "same": Cluster.size == before,
    }[change]


def get_cluster(session: Session, cluster_id: UUID) -> records.Cluster:
    """The cluster of this id.

    Raises:
        NotFoundError: if there is none.
    """
    row = session.get(Cluster, cluster_id)
    if row is None:
        raise NotFoundError(f"There is no cluster {cluster_id}: `GET /clusters` lists them.")
    return records.Cluster.model_validate(row)


def list_members(
    session: Session,
    cluster_id: UUID,
    *,
    is_exemplar: bool | None = None,
    order: Order = "distance",
    limit: int = 50,
    cursor: str | None = None,
    offset: int = 0,
) -> Page[MemberRecord]:
    """The members of a cluster, from its medoid outwards, or from the earliest on.

    A cursor is of the order by distance.

    Raises:
        NotFoundError: if there is no such cluster.
        InvalidRequestError: if the limit or the cursor means nothing.
    """
    get_cluster(session, cluster_id)
    check_limit(limit, LARGEST_PAGE)
    query = (
        select_glitches(
            ClusterMember.probability, ClusterMember.distance, ClusterMember.is_exemplar
        )
        .join(ClusterMember, ClusterMember.glitch_id == Glitch.id)
        .where(ClusterMember.cluster_id == cluster_id)
        .offset(offset)
    )
    if order == "time":
        query = query.order_by(Glitch.gps_time.asc().nulls_last(), ClusterMember.glitch_id)
    if is_exemplar is not None:
        query = query.where(ClusterMember.is_exemplar.is_(is_exemplar))
    return read_page(
        session,
        query,
        lambda row: MemberRecord(to_record(row), row.probability, row.distance, row.is_exemplar),
        ((ClusterMember.distance, False), (ClusterMember.glitch_id, False)),
        limit,
        cursor=cursor,
        within=cluster_id,
        id_of=attrgetter("glitch.id"),
    )
