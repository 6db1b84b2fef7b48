"""Clusters stored directly, without running a clustering, for the tests of review."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from app.clusters.chosen import store_chosen
from app.clusters.tables import Cluster, ClusteringRun
from app.core.database import uuid7
from app.models.checkpoints import active_checkpoint


def store_run(session: Session, *, is_simulated: bool = False) -> ClusteringRun:
    """Store a clustering run, to which ``store_cluster`` adds clusters."""
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
    """Store a flagged cluster of these glitches."""
    key = store_chosen(
        session,
        run,
        dict.fromkeys(glitch_ids, 1.0),
        identity=identity,
        stability=0.9,
        significance=significance,
        more={},
    )
    return session.get_one(Cluster, key)
