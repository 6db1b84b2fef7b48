"""Clusters made to measure, for the suites of review: no clustering is run."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.clusters.records import ClusteringParameters
from app.clusters.selection import Selection
from app.clusters.summary import summarise
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.identifiers import uuid7
from app.glitches.tables import Embedding, Glitch
from app.models.checkpoints import active_checkpoint
from glitch.clustering import describe_cluster, unit_vectors


def store_run(session: Session, *, is_simulated: bool = False) -> ClusteringRun:
    """A run that found whatever ``store_cluster`` adds to it."""
    run = ClusteringRun(
        id=uuid7(),
        checkpoint_id=active_checkpoint(session).id,
        scope="novel",
        is_simulated=is_simulated,
        fdr=0.1,
        min_cluster_size=5,
        p_threshold=0.01,
        n_judged=100,
        n_unjudged=0,
        n_flagged=20,
        n_clustered=20,
        n_noise=0,
        n_clusters=1,
        findings=[{"kind": "tested", "n_flagged": 20, "n_judged": 100, "fdr": 0.1}],
        author="ada",
    )
    session.add(run)
    session.flush()
    return run


def store_cluster(
    session: Session,
    run: ClusteringRun,
    glitch_ids: Sequence[UUID],
    *,
    identity: UUID | None = None,
    significance: float = 1e-6,
) -> Cluster:
    """A flagged cluster of these glitches."""
    rows = session.execute(
        select(Glitch.id, Glitch.ifo, Glitch.gps_time, Embedding.mean)
        .join(Embedding, Embedding.glitch_id == Glitch.id)
        .where(Glitch.id.in_(glitch_ids), Embedding.checkpoint_id == run.checkpoint_id)
        .order_by(Glitch.id)
    ).all()
    chosen = Selection(
        ids=[row[0] for row in rows],
        ifos=[row[1] for row in rows],
        gps_times=[row[2] for row in rows],
        vectors=np.array([row[3] for row in rows], dtype=np.float32),
        weights=np.ones(len(rows)),
        predicted={},
        n_judged=100,
        n_unjudged=0,
        n_flagged=20,
        threshold=0.01,
        judged_by_ifo={},
        calibration_by_ifo={},
        findings=[],
    )
    everyone = np.arange(len(rows))
    found = describe_cluster(unit_vectors(chosen.vectors), everyone, np.ones(len(rows)), 0.9)
    key = uuid7()
    summary = summarise(session, run.checkpoint_id, ClusteringParameters(), chosen, found)
    cluster = Cluster(
        id=key,
        run_id=run.id,
        identity=identity or key,
        size=len(rows),
        stability=0.9,
        significance=significance,
        medoid_id=chosen.ids[found.medoid],
        state="flagged",
        summary={**summary, "previous_size": None},
    )
    session.add(cluster)
    session.flush()
    session.add_all(
        ClusterMember(
            cluster_id=key,
            glitch_id=glitch_id,
            probability=1.0,
            distance=float(found.distances[index]),
            is_exemplar=index in set(found.exemplars),
        )
        for index, glitch_id in enumerate(chosen.ids)
    )
    session.flush()
    return cluster
