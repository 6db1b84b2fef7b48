"""Start clusterings; list, rank and read clusters; compare runs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Numeric,
    Row,
    and_,
    cast,
    exists,
    func,
    select,
)
from sqlalchemy.orm import Session, aliased

from app.classes.tables import GlitchClass
from app.clusters import records
from app.clusters.records import ClusteringParameters, MemberRecord, Run
from app.clusters.tables import CLUSTER_STATES, Cluster, ClusteringRun, ClusterMember
from app.core.access import Principal, Role, removed_since, require_role
from app.core.database import lowest_id_at
from app.core.errors import check_choice, required
from app.core.paging import Page, check_limit, read_page
from app.glitches.records import GlitchRecord
from app.glitches.selection import check_ifo, select_glitches, to_record
from app.glitches.tables import Glitch, Label, View
from app.jobs.records import JobRecord
from app.jobs.service import create_job
from app.models import checkpoints

KIND = "cluster"
LARGEST_PAGE = 500
Order = Literal["distance", "time"]


@dataclass(frozen=True)
class ClusterFilters:
    """Which clusters to show; None means no filter."""

    state: str | None = None
    ifo: str | None = None
    min_size: int | None = None
    gps_start: Decimal | None = None  # s; clusters whose last member is not before it
    gps_end: Decimal | None = None  # s; clusters whose first member is not after it
    change: str | None = None  # since the previous run: new, grown, shrunk or same


_NO_FILTERS = ClusterFilters()


def start_clustering(
    session: Session, parameters: ClusteringParameters, *, principal: Principal
) -> JobRecord:
    """Create a job that clusters the catalogue; the job's result names the run.

    Raises:
        PermissionDeniedError: if the caller may only read.
        InvalidRequestError: if a parameter is out of range.
        GlitchError: if the false-discovery rate is not between 0 and 1.
        NotReadyError: if no checkpoint is active.
    """
    require_role(principal, Role.SUBMITTER)
    parameters.check()
    checkpoints.active_checkpoint(session)
    values = asdict(parameters)
    # Identical requests share one open job.
    key = " ".join(f"{name}={values[name]}" for name in sorted(values))
    return create_job(session, KIND, values, principal.name, key=key)


def latest_run(session: Session) -> Run | None:
    """Return the latest run; None if there is none."""
    return next(iter(list_runs(session, limit=1).items), None)


def get_run(session: Session, run_id: UUID) -> Run:
    """Return the run with this id."""
    row = session.get(ClusteringRun, run_id)
    text = f"There is no clustering {run_id}: see the list of clusterings."
    return Run.model_validate(required(row, text))


def list_runs(session: Session, *, limit: int = 50, cursor: str | None = None) -> Page[Run]:
    """List runs, latest first."""
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
    """List clusters, largest first: of a run, of an identity in all runs, or of the latest run."""
    check_limit(limit, LARGEST_PAGE)
    query = select(Cluster)
    if run_id is not None or identity is None:
        run = latest_run(session) if run_id is None else get_run(session, run_id)
        query = query.where(Cluster.run_id == (run.id if run else None))
    if identity is not None:
        query = query.where(Cluster.identity == identity)
    query = query.where(*cluster_conditions(filters))
    order = (Cluster.size, True), (Cluster.id, False)
    to_cluster = records.Cluster.model_validate
    return read_page(session, query, lambda row: to_cluster(row[0]), order, limit, cursor=cursor)


def cluster_conditions(filters: ClusterFilters) -> list[ColumnElement[bool]]:
    """Translate the filters to SQL conditions."""
    conditions: list[ColumnElement[bool]] = []
    if filters.state is not None:
        check_choice(filters.state, CLUSTER_STATES, "state")
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
    """Return the condition for clusters that changed in this way since the previous run."""
    before = cast(Cluster.summary["previous_size"].astext, Integer)
    return {
        "new": before.is_(None),
        "grown": Cluster.size > before,
        "shrunk": Cluster.size < before,
        "same": Cluster.size == before,
    }[change]


def get_cluster(session: Session, cluster_id: UUID) -> records.Cluster:
    """Return the cluster with this id."""
    row = session.get(Cluster, cluster_id)
    text = f"There is no cluster {cluster_id}: see the list of clusters."
    return records.Cluster.model_validate(required(row, text))


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
    """List the members of a cluster by their distance to the medoid, or by time.

    A cursor is valid only for the order by distance.
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


MAX_EXEMPLARS = 3
_MAX_RUNS_SEARCHED = 100
_MAX_GLITCHES_SEARCHED = 300


def ranked_clusters(
    session: Session, run_id: UUID, filters: ClusterFilters, *, limit: int, offset: int = 0
) -> list[records.Cluster]:
    """List clusters of a run, the most significant first; ties by size, the larger first."""
    query = (
        select(Cluster)
        .where(Cluster.run_id == run_id, *_shown(filters))
        .order_by(Cluster.significance.nulls_last(), Cluster.size.desc(), Cluster.id)
        .limit(limit)
        .offset(offset)
    )
    return [records.Cluster.model_validate(row) for row in session.scalars(query)]


@dataclass(frozen=True)
class Queue:
    """The position of a cluster among those of its run that wait for a decision."""

    place: int | None  # 1 for the first; None if it does not wait any longer
    total: int
    previous_id: UUID | None
    next_id: UUID | None


def queue_of(session: Session, cluster: records.Cluster) -> Queue:
    """Find the waiting clusters before and after a cluster, in the order of ``ranked_clusters``.

    The first follows the last, so that a reviewer who starts in the middle misses none.
    """
    rows = session.execute(
        select(Cluster.id, Cluster.state)
        .where(Cluster.run_id == cluster.run_id)
        .order_by(Cluster.significance.nulls_last(), Cluster.size.desc(), Cluster.id)
    ).all()
    position = next(place for place, row in enumerate(rows) if row.id == cluster.id)
    others = [row.id for row in (*rows[position + 1 :], *rows[:position]) if row.state == "flagged"]
    waiting = [row.id for row in rows if row.state == "flagged"]
    return Queue(
        place=waiting.index(cluster.id) + 1 if cluster.id in waiting else None,
        total=len(waiting),
        previous_id=others[-1] if others else None,
        next_id=others[0] if others else None,
    )


def count_by_state(session: Session, run_id: UUID, filters: ClusterFilters) -> dict[str, int]:
    """Count the clusters of a run in each state; the filter by state is ignored."""
    shown = Cluster.run_id == run_id, *_shown(replace(filters, state=None))
    counts = select(Cluster.state, func.count()).where(*shown).group_by(Cluster.state)
    return dict(session.execute(counts).all())


def _shown(filters: ClusterFilters) -> list[ColumnElement[bool]]:
    """Leave out split clusters, because their parts are listed, unless the filter asks for them."""
    conditions = cluster_conditions(filters)
    return [*conditions, Cluster.state != "split"] if filters.state is None else conditions


def exemplars_of(
    session: Session, cluster_ids: Sequence[UUID]
) -> dict[UUID, tuple[GlitchRecord, ...]]:
    """Return up to ``MAX_EXEMPLARS`` exemplars of each cluster, the medoid first."""
    ranked = (
        select(
            ClusterMember.cluster_id,
            ClusterMember.glitch_id,
            func.row_number()
            .over(partition_by=ClusterMember.cluster_id, order_by=ClusterMember.distance)
            .label("place"),
        )
        .where(ClusterMember.cluster_id.in_(cluster_ids), ClusterMember.is_exemplar)
        .subquery()
    )
    rows = session.execute(
        select_glitches(ranked.c.cluster_id)
        .join(ranked, ranked.c.glitch_id == Glitch.id)
        .where(ranked.c.place <= MAX_EXEMPLARS)
        .order_by(ranked.c.cluster_id, ranked.c.place)
    )
    exemplars: dict[UUID, list[GlitchRecord]] = defaultdict(list)
    for row in rows:
        exemplars[row.cluster_id].append(to_record(row))
    return {cluster_id: tuple(records) for cluster_id, records in exemplars.items()}


MAX_LABELS_COUNTED = 10_000


@dataclass(frozen=True)
class LabelsSince:
    """Numbers of measured glitches whose labels changed since a run was made."""

    added: int  # had no label then
    removed: int  # have no label now
    changed: int  # are of another class now, for example by a merge of classes


def labels_since(session: Session, run: Run) -> LabelsSince:
    """Count the labels that changed since a run, because another run may flag other glitches.

    Each number is at most ``MAX_LABELS_COUNTED``, plus references that were removed. All are zero
    for a run of simulated glitches, where a million other labels might have to be skipped.
    """
    if run.is_simulated:
        return LabelsSince(0, 0, 0)
    before = aliased(Label)
    then = (
        select(before.class_id)
        .where(
            before.glitch_id == Label.glitch_id,
            before.id < lowest_id_at(run.created_at),
            before.revoked_at.is_(None) | (before.revoked_at >= run.created_at),
        )
        .order_by(before.id.desc())
        .limit(1)
        .correlate(Label)
        .scalar_subquery()
    )
    is_new = Label.id >= lowest_id_at(run.created_at)
    is_revoked = ~is_new, Label.revoked_at >= run.created_at
    conditions = {
        "added": (is_new, Label.revoked_at.is_(None), then.is_(None)),
        "removed": (*is_revoked, Glitch.class_id.is_(None)),
        "changed": (
            (is_new & Label.revoked_at.is_(None)) | and_(*is_revoked),
            Glitch.class_id != then,
        ),
    }
    counts = {
        name: session.scalar(
            select(func.count()).select_from(
                select(Label.glitch_id)
                .join(Glitch, Glitch.id == Label.glitch_id)
                .where(~Glitch.is_simulated, *which)
                .distinct()
                .limit(MAX_LABELS_COUNTED)
                .subquery()
            )
        )
        or 0
        for name, which in conditions.items()
    }
    counts["removed"] += removed_since(session, run.created_at)
    return LabelsSince(**counts)


def member_facts(session: Session, cluster_id: UUID) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return ``gps_time`` (s), ``snr`` and ``peak_frequency`` (Hz) of each member."""
    return session.execute(
        select(cast(Glitch.gps_time, Double).label("gps_time"), Glitch.snr, Glitch.peak_frequency)
        .join(ClusterMember, ClusterMember.glitch_id == Glitch.id)
        .where(ClusterMember.cluster_id == cluster_id)
    ).all()


def parts_of(session: Session, cluster_id: UUID) -> list[records.Cluster]:
    """Return the parts of a split cluster, the largest first."""
    whole = session.get(Cluster, cluster_id)
    if whole is None or whole.state != "split":
        return []
    rows = session.scalars(
        select(Cluster)
        .where(Cluster.previous_id == cluster_id, Cluster.run_id == whole.run_id)
        .order_by(Cluster.size.desc())
    )
    return [records.Cluster.model_validate(row) for row in rows]


def runs_that_wait(session: Session) -> list[tuple[Run, int]]:
    """List the latest run of each kind that has clusters to review, with their number.

    Kinds differ in scope, detector and origin. Runs of real glitches come first; the first run in
    the list is the one to open by default.
    """
    rows = session.scalars(
        select(ClusteringRun)
        .order_by(ClusteringRun.created_at.desc(), ClusteringRun.id.desc())
        .limit(_MAX_RUNS_SEARCHED)
    ).all()
    latest: dict[tuple[str, str | None, bool], ClusteringRun] = {}
    for row in rows:
        latest.setdefault((row.scope, row.ifo, row.is_simulated), row)
    waiting = select(Cluster.run_id, func.count()).where(
        Cluster.run_id.in_([row.id for row in latest.values()]), Cluster.state == "flagged"
    )
    numbers = {row[0]: row[1] for row in session.execute(waiting.group_by(Cluster.run_id))}
    return [
        (Run.model_validate(row), numbers[row.id])
        for row in sorted(latest.values(), key=lambda one: one.is_simulated)
        if row.id in numbers
    ]


def class_pictures(
    session: Session, names: Sequence[str], window_s: float, *, is_simulated: bool
) -> dict[str, GlitchRecord]:
    """For each class, find the latest glitch with a view in this window.

    Only the latest ``_MAX_GLITCHES_SEARCHED`` glitches of a class are searched. Classes without
    such a glitch are absent.
    """
    pictures: dict[str, GlitchRecord] = {}
    for name in names:
        latest = (
            select(Glitch.id)
            .join(GlitchClass, GlitchClass.id == Glitch.class_id)
            .where(GlitchClass.name == name, Glitch.is_simulated.is_(is_simulated))
            .order_by(Glitch.id.desc())
            .limit(_MAX_GLITCHES_SEARCHED)
            .subquery()
        )
        row = session.execute(
            select_glitches()
            .join(latest, latest.c.id == Glitch.id)
            .join(View, View.glitch_id == Glitch.id)
            .where(View.duration == window_s)
            .order_by(Glitch.id.desc())
            .limit(1)
        ).first()
        if row is not None:
            pictures[name] = to_record(row)
    return pictures


CHANGES = ("new", "grown", "shrunk", "same")


@dataclass(frozen=True)
class Changes:
    """The differences between a run and the previous one."""

    previous_created_at: datetime
    of: dict[str, int]  # number of its clusters for each of ``CHANGES``
    # Clusters of the previous run that this one did not find again:
    labelled: int  # all their members are labelled now, or were deleted
    decided: int  # named, merged or dismissed
    lost: int  # nobody decided about them


def changes_since(session: Session, run: Run) -> Changes | None:
    """Compare a run with the previous one; None if it is the first of its kind.

    The parts of a split are counted, but not the split cluster.
    """
    previous = (
        None if run.previous_run_id is None else session.get(ClusteringRun, run.previous_run_id)
    )
    if previous is None:
        return None
    counts = session.execute(
        select(*(func.count().filter(change_condition(name)) for name in CHANGES)).where(
            Cluster.run_id == run.id, Cluster.state != "split"
        )
    ).one()
    later, member = aliased(Cluster), aliased(ClusterMember)
    has_unlabelled = (
        exists()
        .where(member.cluster_id == Cluster.id, Glitch.id == member.glitch_id)
        .where(Glitch.class_id.is_(None))
        .correlate(Cluster)
    )
    labelled, decided, lost = session.execute(
        select(
            func.count().filter(~has_unlabelled),
            func.count().filter(has_unlabelled, Cluster.state != "flagged"),
            func.count().filter(has_unlabelled, Cluster.state == "flagged"),
        ).where(
            Cluster.run_id == previous.id,
            Cluster.state != "split",
            ~exists().where(later.run_id == run.id, later.identity == Cluster.identity),
        )
    ).one()
    return Changes(
        previous.created_at, dict(zip(CHANGES, counts, strict=True)), labelled, decided, lost
    )
