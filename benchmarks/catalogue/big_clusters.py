"""Clusters of a made-up catalogue, stored without clustering anything: for benchmarks only."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.clusters.records import ClusteringParameters
from app.clusters.selection import Selection
from app.clusters.summary import summarise
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.identifiers import uuid7
from app.glitches.tables import Embedding, Glitch
from glitch.clustering import describe_cluster, unit_vectors


def store_clusters(session: Session, checkpoint_id: int, groups: Sequence[Sequence[UUID]]) -> None:
    """A run whose clusters are these groups, with the summaries that a clustering would write."""
    total = sum(map(len, groups))
    run = ClusteringRun(
        id=uuid7(),
        checkpoint_id=checkpoint_id,
        scope="novel",
        is_simulated=False,
        fdr=0.1,
        min_cluster_size=5,
        p_threshold=0.01,
        n_judged=total,
        n_unjudged=0,
        n_flagged=total,
        n_clustered=total,
        n_noise=0,
        n_clusters=len(groups),
        author="benchmark",
    )
    session.add(run)
    session.flush()
    for group in groups:
        _store(session, run, group)


def _store(session: Session, run: ClusteringRun, group: Sequence[UUID]) -> None:
    rows = session.execute(
        select(Glitch.id, Glitch.ifo, Glitch.gps_time, Embedding.mean)
        .join(Embedding, Embedding.glitch_id == Glitch.id)
        .where(Glitch.id.in_(group), Embedding.checkpoint_id == run.checkpoint_id)
        .order_by(Glitch.id)
    ).all()
    chosen = Selection(
        ids=[row[0] for row in rows],
        ifos=[row[1] for row in rows],
        gps_times=[row[2] for row in rows],
        vectors=np.array([row[3] for row in rows], dtype=np.float32),
        weights=np.ones(len(rows)),
        looks={},
        n_judged=run.n_judged,
        n_unjudged=0,
        n_flagged=run.n_flagged,
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
        identity=key,
        size=len(rows),
        stability=0.9,
        significance=1e-6,
        medoid_id=chosen.ids[found.medoid],
        state="flagged",
        summary={**summary, "previous_size": None},
    )
    session.add(cluster)
    session.flush()
    exemplars = set(found.exemplars)
    session.execute(
        insert(ClusterMember),
        [
            {
                "cluster_id": key,
                "glitch_id": glitch_id,
                "probability": 1.0,
                "distance": float(found.distances[index]),
                "is_exemplar": index in exemplars,
            }
            for index, glitch_id in enumerate(chosen.ids)
        ],
    )
