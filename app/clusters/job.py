"""The job of kind ``cluster``. A run is committed in the transaction that ends the job.

A job that fails or is cancelled therefore leaves no clusters behind.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import numpy as np
from psycopg.errors import ForeignKeyViolation
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from app.clusters.chosen import hold_selections
from app.clusters.crowds import Reencoding
from app.clusters.decided import Part, hold_reviewed
from app.clusters.findings import Finding, found
from app.clusters.identities import current_clusters, is_of_kind
from app.clusters.records import ClusteringParameters, Run
from app.clusters.selection import Selection, missed_changes, select_novel, with_waiting
from app.clusters.storage import ClusterStore
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember, ReviewEvent
from app.core.database import is_any_of, uuid7
from app.core.engine import make_session_factory
from app.core.postgres.partitions import has_rows
from app.glitches.tables import Glitch
from app.jobs.records import JobRecord, OneTransaction, Work
from app.jobs.service import create_job
from app.models import checkpoints
from app.novelty.catalogue import REJUDGED_AT_ONCE, recalibrate
from glitch.clustering import FoundCluster, Match, find_clusters, match_clusters, unit_vectors

if TYPE_CHECKING:
    from glitch.encoder import Encoder  # imports torch

_ONE_AT_A_TIME = 5_190_337_204  # key of an advisory lock; arbitrary
_LOCK_RETRY_S = 0.2
_SEED = 20_160_601  # for the stability subsamples: equal catalogues give equal stabilities


def run_clustering(
    session: Session,
    parameters: ClusteringParameters,
    *,
    author: str,
    job_id: UUID | None = None,
    heartbeat: Callable[[], None] = lambda: None,
    encoder: Callable[[str], Encoder] | None = None,
    sessions: sessionmaker[Session] | None = None,
) -> Run:
    """Flag novel glitches, cluster them, match the clusters with earlier ones, and store the run.

    Too few glitches are not an error: the run is stored without clusters, and its ``detail`` says
    so.

    ``heartbeat`` is called every few seconds and may raise an exception to cancel the run.
    ``encoder`` returns the encoder of a checkpoint, given its digest. It encodes glitches whose
    windows or band differ from those of the references; without it they are not tested.
    ``sessions`` makes sessions in which a small catalogue is judged before the run; without it that
    happens in ``session``, and everybody who labels glitches waits until the run ends.

    Raises:
        InvalidRequestError: if a parameter is out of range.
        GlitchError: if the false-discovery rate is not between 0 and 1.
        NotReadyError: if no checkpoint is active.
    """
    parameters.check()
    # The second of two simultaneous runs must see the clusters that the first stored, or both would
    # create new clusters of the same glitches.
    while not session.scalar(select(func.pg_try_advisory_xact_lock(_ONE_AT_A_TIME))):
        heartbeat()
        time.sleep(_LOCK_RETRY_S)
    while True:  # repeat if another model was activated meanwhile
        checkpoint = checkpoints.active_checkpoint(session)
        # Not now(): the transaction may have begun before the run that this one waited for.
        began = session.scalars(select(func.clock_timestamp())).one()
        is_judged_now = _judge_small(session, checkpoint.id, sessions)
        heartbeat()
        reencoding = encoder and Reencoding(partial(encoder, checkpoint.digest), heartbeat)
        attempt = session.begin_nested()
        selection, clusters = _cluster(session, checkpoint.id, parameters, reencoding, heartbeat)
        run_id = _store_as_decided(
            session,
            {
                **{"checkpoint_id": checkpoint.id, "job_id": job_id, "author": author},
                **{"created_at": began, **parameters.of_run()},
            },
            selection,
            clusters,
            heartbeat=heartbeat,
            is_judged_now=is_judged_now,
        )
        if checkpoints.hold_active(session, checkpoint.id):
            attempt.commit()
            run = session.get_one(ClusteringRun, run_id, populate_existing=True)
            return Run.model_validate(run)
        attempt.rollback()  # also releases the row locks, so nobody waits for the next attempt
        session.expire_all()


def _judge_small(session: Session, checkpoint_id: int, maker: sessionmaker[Session] | None) -> bool:
    """Judge a small catalogue by the current labels; return whether that was done."""
    if has_rows(session, checkpoint_id, REJUDGED_AT_ONCE + 1):
        return False
    with nullcontext(session) if maker is None else maker.begin() as separate:
        recalibrate(separate, checkpoint_id)
    return True


def _cluster(
    session: Session,
    checkpoint_id: int,
    parameters: ClusteringParameters,
    reencoding: Reencoding | None,
    heartbeat: Callable[[], None],
) -> tuple[Selection, list[FoundCluster]]:
    """Select the glitches and cluster them."""
    while True:  # repeat if some of the glitches were deleted meanwhile
        selection = select_novel(session, checkpoint_id, parameters, reencoding)
        heartbeat()
        clusters: list[FoundCluster] = []
        if len(selection.ids) >= parameters.min_cluster_size:
            # The selection has a fixed order, so the same catalogue gives the same clusters.
            chance = np.random.default_rng(_SEED)
            size = parameters.min_cluster_size
            clusters = find_clusters(selection.vectors, size, chance, heartbeat)
        if _lock_glitches(session, selection.ids) == len(selection.ids):
            return selection, clusters


def _store_as_decided(
    session: Session,
    facts: Mapping[str, Any],
    selection: Selection,
    clusters: list[FoundCluster],
    *,
    heartbeat: Callable[[], None],
    is_judged_now: bool,
) -> UUID:
    """Store the run so that it agrees with all decisions made before it ends; return its id."""
    continued: dict[UUID, str] | None = None
    while True:  # repeat if somebody reviewed or made a cluster meanwhile
        is_second = continued is not None
        if continued is not None:
            _states_now(session, continued)  # lock them, so that the second time nobody can
            hold_selections(session)
        last = _last_event(session)
        run = ClusteringRun(**facts, id=uuid7())
        with_late = with_waiting(session, run, selection)
        attempt = session.begin_nested()
        try:
            continued = _store(session, run, with_late, clusters, heartbeat=heartbeat)
        except IntegrityError as error:
            if not isinstance(error.orig, ForeignKeyViolation):
                raise
            attempt.rollback()  # a cluster that it continues was removed meanwhile
            session.expire_all()
            continue
        unseen = missed_changes(session, Run.model_validate(run), is_judged_now=is_judged_now)
        run.findings = [*run.findings, *unseen]
        session.flush()
        hold_selections(session)
        if (
            _states_now(session, continued) == continued
            # Check once only for decisions about clusters of other runs, so that the loop ends.
            and (is_second or _last_event(session, but_of=run.id) == last)
            and with_waiting(session, run, with_late) is with_late
        ):
            attempt.commit()
            return run.id
        attempt.rollback()
        session.expire_all()


def _last_event(session: Session, *, but_of: UUID | None = None) -> int | None:
    """The id of the latest review event, except those about clusters of the run ``but_of``."""
    own = select(Cluster.id).where(Cluster.run_id == but_of)
    return session.scalar(
        select(func.max(ReviewEvent.id)).where(ReviewEvent.cluster_id.not_in(own))
    )


def _lock_glitches(session: Session, glitch_ids: Sequence[UUID]) -> int:
    """Lock these glitches against deletion until the transaction ends; count those that exist."""
    locked = (
        select(Glitch.id)
        .where(is_any_of(Glitch.id, glitch_ids))
        .with_for_update(read=True, key_share=True)
        .subquery()
    )
    return session.scalar(select(func.count()).select_from(locked)) or 0


def _states_now(session: Session, clusters: Collection[UUID]) -> dict[UUID, str]:
    """Return the states of these clusters, and lock their rows until the transaction ends."""
    rows = session.execute(
        select(Cluster.id, Cluster.state)
        .where(is_any_of(Cluster.id, list(clusters)))
        .order_by(Cluster.id)
        .with_for_update(key_share=True)
    )
    return {row.id: row.state for row in rows}


def _store(
    session: Session,
    run: ClusteringRun,
    selection: Selection,
    clusters: list[FoundCluster],
    *,
    heartbeat: Callable[[], None],
) -> dict[UUID, str]:
    """Store the run with its clusters; return the states of the clusters that they continue."""
    latest = ClusteringRun.created_at.desc(), ClusteringRun.id.desc()
    of_kind = select(ClusteringRun.id).where(*is_of_kind(run)).order_by(*latest)
    units = unit_vectors(selection.vectors)
    parts = hold_reviewed(session, run, selection.ids, units, clusters)
    run.previous_run_id = session.scalar(of_kind.limit(1))
    run.p_threshold, run.n_judged = selection.threshold, selection.n_judged
    run.n_unjudged, run.n_flagged = selection.n_unjudged, selection.n_flagged
    run.n_clustered = len(selection.ids)
    run.n_noise, run.n_clusters, run.findings = 0, len(parts), []
    session.add(run)
    session.flush()
    whole = [part for part in parts if part.before is None]
    continuing = [part for part in parts if part.before is not None]
    prescribed = {part.before.identity for part in continuing if part.before is not None}
    earlier, members, matches = _match(session, run, selection, whole, prescribed)
    continuing += [
        replace(part, before=earlier[match.previous], overlap=match.overlap) if match else part
        for part, match in zip(whole, matches, strict=True)
    ]
    matched = {match.previous for match in matches if match}
    unmatched = [
        (cluster, keys)
        for index, (cluster, keys) in enumerate(zip(earlier, members, strict=True))
        if index not in matched
    ]
    store = ClusterStore(session, run, selection, units, unmatched)
    reported: list[Finding] = []
    for part in store.begin(continuing):
        heartbeat()
        reported += store.add(part)
    reported += store.finish()
    if store.sizes_apart:
        reported.insert(0, found("held_apart", sizes=sorted(store.sizes_apart, reverse=True)))
    run.n_clusters = store.n_stored
    run.n_noise = len(selection.ids) - len(store.clustered)
    total = {"of": run.n_clustered} if run.scope == "everything" else {}
    counted = found("clusters", n=store.n_stored, **total)  # separated parts included
    if run.n_clustered < run.min_cluster_size and not store.n_stored:
        counted = found("too_few", n=run.n_clustered, min_cluster_size=run.min_cluster_size)
    n_waiting = sum(key not in selection.predicted for key in selection.ids)
    if n_waiting and run.scope == "novel":
        reported.insert(0, found("waiting", n=n_waiting))
    run.findings = [
        *selection.findings,
        *([counted] if run.n_clustered else []),  # else a finding says why
        *reported,
        *selection.returned,
    ]
    session.flush()
    return store.continued


def _match(
    session: Session,
    run: ClusteringRun,
    selection: Selection,
    parts: list[Part],
    prescribed: Collection[UUID],
) -> tuple[list[Cluster], list[set[object]], list[Match | None]]:
    """Match the parts with the clusters of earlier comparable runs.

    Returns the latest earlier cluster of each identity, the members of each that are clustered
    again, and for each part the match, if any. The latest cluster counts however old it is, so
    that a run at a stricter rate, which does not find a cluster, does not end its identity.
    Identities in ``prescribed`` are left out because another part continues them.
    """
    if not parts:
        return [], [], []
    latest = current_clusters(
        *is_of_kind(run), Cluster.identity.not_in(prescribed)
    ).with_only_columns(Cluster.id)
    # Compare only glitches that are clustered again: those labelled since would count as lost.
    members: dict[UUID, set[object]] = {}
    for cluster_id, glitch_id in session.execute(
        select(ClusterMember.cluster_id, ClusterMember.glitch_id).where(
            ClusterMember.cluster_id.in_(latest), is_any_of(ClusterMember.glitch_id, selection.ids)
        )
    ):
        members.setdefault(cluster_id, set()).add(glitch_id)
    rows = session.execute(
        select(Cluster, ClusteringRun.created_at)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(is_any_of(Cluster.id, list(members)))
        .order_by(Cluster.id)
    ).all()
    stored: dict[object, datetime] = {
        row.id: row.created_at
        for row in session.execute(
            select(Glitch.id, Glitch.created_at).where(is_any_of(Glitch.id, selection.ids))
        )
    }
    current: list[set[object]] = [
        {selection.ids[index] for index in part.cluster.members} for part in parts
    ]
    created = [sorted(stored[key] for key in keys if key in stored) for keys in current]
    n_seen = np.array([[bisect_right(times, made) for _, made in rows] for times in created], int)
    earlier = [cluster for cluster, _ in rows]
    earlier_members = [members[row.id] for row in earlier]
    return earlier, earlier_members, match_clusters(current, earlier_members, n_seen)


class ClusterHandler(OneTransaction):
    """Handles jobs that cluster the catalogue."""

    def check(self, job: JobRecord) -> None:
        """Refuse parameters with which no clustering is possible."""
        ClusteringParameters(**job.parameters).check()

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Cluster, store the run, and return its id and figures as the job's result."""
        run = run_clustering(
            work.session,
            ClusteringParameters(**work.job.parameters),
            author=work.job.author,
            job_id=work.job.id,
            heartbeat=work.heartbeat,
            encoder=work.encoder,
            sessions=make_session_factory(cast("Engine", work.session.get_bind())),
        )
        if run.n_flagged and work.settings.sends_digest:
            create_job(work.session, "digest", {}, work.job.author, key=str(run.id))
        work.heartbeat()  # raises if the job was cancelled meanwhile, so that nothing is kept
        return {
            "run": str(run.id),
            "flagged": run.n_flagged,
            "clusters": run.n_clusters,
            "detail": run.detail,
        }
