"""Clusters of a synthetic catalogue, stored without a clustering: for benchmarks only."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from app.clusters.chosen import store_chosen
from app.clusters.tables import ClusteringRun
from app.core.database import uuid7


def store_clusters(session: Session, checkpoint_id: int, groups: Sequence[Sequence[UUID]]) -> None:
    """Store a run with these groups as clusters, with the summaries that a clustering writes."""
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
        store_chosen(
            session, run, dict.fromkeys(group, 1.0), stability=0.9, significance=1e-6, more={}
        )
