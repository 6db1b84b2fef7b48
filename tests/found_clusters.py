"""Real clustering runs on synthetic vectors, and reviewers' decisions about their clusters."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest
from acts import review
from sqlalchemy import insert, select
from sqlalchemy.orm import Session
from store_helpers import LATENT, SMALL, person

from app.classes.tables import GlitchClass
from app.clusters import records
from app.clusters.job import run_clustering
from app.clusters.records import ClusteringParameters, Run
from app.clusters.review.log import Action
from app.clusters.review.service import history
from app.clusters.service import ClusterFilters, ranked_clusters
from app.clusters.tables import ClusterMember
from app.core.access import Role
from app.core.database import uuid7
from app.glitches.tables import Embedding, Glitch
from app.models.checkpoints import publish_checkpoint
from app.models.records import CheckpointRecord

ADA = person(Role.REVIEWER, "ada")
KNOWN, NOVEL = np.array([3.0, 0, 0, 0]), np.array([0.0, 3.0, 0, 0])
OTHER, ANOTHER = np.array([0.0, 0, 3.0, 0]), np.array([0.0, 0, 0, 3.0])
Fill = Callable[..., list[UUID]]


@pytest.fixture
def fill(session: Session, checkpoint: CheckpointRecord, rng: np.random.Generator) -> Fill:
    """Provide a function that stores glitches around a latent vector, an hour apart."""
    times = iter(range(1, 10_000))

    def fill_one(n: int, centre: np.ndarray, label: str | None = None) -> list[UUID]:
        named = select(GlitchClass.id).where(GlitchClass.name == label)
        class_id = session.scalar(named) if label else None
        keys = [uuid7() for _ in range(n)]
        session.execute(
            insert(Glitch),
            [
                {
                    "id": key,
                    "ifo": "H1",
                    "gps_time": Decimal(1126259462 + 3600 * next(times)),
                    "origin": "upload",
                    "content_digest": rng.bytes(32),
                    "class_id": class_id,
                }
                for key in keys
            ],
        )
        session.execute(
            insert(Embedding),
            [
                {
                    "glitch_id": key,
                    "checkpoint_id": checkpoint.id,
                    "ifo": "H1",
                    "is_simulated": False,
                    "is_reference": label is not None,
                    "mean": centre
                    + rng.normal(scale=0.3 if centre is KNOWN else 0.15, size=LATENT),
                    "log_variance": [0.0] * LATENT,
                    "reconstruction_error": 1.0,
                    "kl": 1.0,
                    "is_judged": False,
                }
                for key in keys
            ],
        )
        return keys

    return fill_one


def cluster_now(session: Session) -> tuple[Run, list[records.Cluster]]:
    run = run_clustering(session, ClusteringParameters(fdr=0.05), author="someone")
    return run, ranked_clusters(session, run.id, ClusterFilters(), limit=50)


def cluster_h1(session: Session) -> tuple[Run, list[records.Cluster]]:
    """Cluster the glitches of H1 only; the run continues no cluster found in all detectors."""
    run = run_clustering(session, ClusteringParameters(fdr=0.05, ifo="H1"), author="someone")
    return run, ranked_clusters(session, run.id, ClusterFilters(), limit=50)


def members(session: Session, cluster: records.Cluster) -> set[UUID]:
    return set(
        session.scalars(
            select(ClusterMember.glitch_id).where(ClusterMember.cluster_id == cluster.id)
        )
    )


def decide(session: Session, cluster: records.Cluster, action: Action) -> UUID:
    last = history(session, cluster.id).last_id
    return review(session, cluster.id, action, author=ADA, last_event_id=last).cluster_id


@pytest.fixture
def flagged(session: Session, fill: Fill) -> records.Cluster:
    fill(300, KNOWN, "Blip")
    fill(20, KNOWN)
    fill(40, NOVEL)
    _, [found] = cluster_now(session)
    assert found.size >= 15
    return found


def embed_otherwise(session: Session, mean_of: Callable[[UUID, np.ndarray], np.ndarray]) -> None:
    """Publish another model; ``mean_of`` maps a glitch and its latent mean to its new mean."""
    later = publish_checkpoint(
        session,
        name="later",
        digest="b" * 64,
        preprocessing_digest=SMALL.digest(),
        latent_size=LATENT,
        manifest={},
    )
    rows = [dict(row) for row in session.execute(select(Embedding.__table__)).mappings()]
    for row in rows:
        mean = mean_of(row["glitch_id"], np.array(row["mean"]))
        row |= {"checkpoint_id": later.id, "mean": mean}
    session.execute(insert(Embedding), rows)
    session.expire_all()
