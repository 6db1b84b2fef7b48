"""Ranges of latents to vary for a glitch or cluster, and the plane of a cluster's members."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Row, exists, func, literal, select, text
from sqlalchemy.orm import Session, aliased
from sqlalchemy.sql import tablesample

from app.clusters.service import get_cluster
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.errors import NotFoundError
from app.core.postgres.partitions import partition_name
from app.glitches.selection import get_glitch
from app.glitches.service import get_embedding
from app.glitches.tables import Embedding, Glitch
from app.models.checkpoints import get_checkpoint
from app.models.records import Plane, Point
from glitch.clustering.distinction import principal_plane
from glitch.traversals import UnitRange, UnitRanges, cluster_ranges, glitch_ranges

MAX_MEMBERS = 5_000  # of a cluster, used for its ranges and its plane
_SAMPLE_PAGES = 200  # of the embeddings' partition: about 4,000 glitches of 32 latents
_MAX_SAMPLED = 8_000
_SEED = 5  # fixed, so that the same catalogue gives the same sample
_MIN_OTHERS = 20  # fewer do not show which values are usual

Vectors = Float32[np.ndarray, "glitch latent"]


@dataclass(frozen=True)
class TraversalRanges:
    """Ranges of the latents to vary, and the inactive latents."""

    glitch_id: UUID  # the strips start from its vector: the glitch or the medoid
    checkpoint_id: int
    checkpoint: str  # its name
    ranges: tuple[UnitRange, ...]  # most informative first
    n_active: int
    dead: tuple[int, ...]  # latents that hardly differ between glitches
    n_others: int  # number of glitches compared with; a sample if there are many
    reason: str | None = None  # why there are no ranges


def glitch_traversals(session: Session, glitch_id: UUID) -> TraversalRanges:
    """The most informative latents of a glitch, under the active checkpoint."""
    glitch = get_glitch(session, glitch_id)
    embedding = get_embedding(session, glitch_id)
    others = _sample(
        session, embedding.checkpoint_id, is_simulated=glitch.is_simulated, exclude_id=glitch_id
    )
    units = None
    if len(others) >= _MIN_OTHERS:
        units = glitch_ranges(embedding.mean, embedding.log_variance, others)
    return _traversals(glitch_id, embedding.checkpoint_id, embedding.checkpoint, len(others), units)


def cluster_traversals(session: Session, cluster_id: UUID) -> TraversalRanges:
    """The latents that distinguish a cluster from the other glitches of the same origin.

    Uses the checkpoint that found the cluster; NotFoundError if its vectors no longer exist. Each
    strip covers the cluster's range and that of the others, and starts from the medoid.
    """
    cluster = get_cluster(session, cluster_id)
    if cluster.medoid_id is None:
        raise NotFoundError("The medoid of this cluster was deleted, so nothing can be traversed.")
    run = session.get_one(ClusteringRun, cluster.run_id)
    checkpoint = get_checkpoint(session, run.checkpoint_id)
    medoid = get_embedding(session, cluster.medoid_id, run.checkpoint_id).mean
    _, members = _members(session, cluster_id)
    others = _sample(session, checkpoint.id, is_simulated=run.is_simulated, outside=cluster_id)
    units = cluster_ranges(medoid, members, others) if len(others) >= _MIN_OTHERS else None
    return _traversals(cluster.medoid_id, checkpoint.id, checkpoint.name, len(others), units)


def _traversals(
    glitch_id: UUID, checkpoint_id: int, checkpoint: str, n_others: int, units: UnitRanges | None
) -> TraversalRanges:
    """Make the result; ``units`` is None if there are too few other glitches."""
    about = glitch_id, checkpoint_id, checkpoint
    if units is not None:
        return TraversalRanges(*about, units.ranges, units.n_active, units.dead, n_others)
    reason = (
        f"There are {n_others} other glitches to compare with, and {_MIN_OTHERS} are needed "
        "to tell what is usual: load more."
    )
    return TraversalRanges(*about, (), 0, (), n_others, reason)


def _members(session: Session, cluster_id: UUID) -> tuple[Sequence[Row[*tuple[Any, ...]]], Vectors]:
    """Members by increasing distance to the medoid, and their posterior means in the run."""
    rows = session.execute(
        select(
            Glitch.id,
            ClusterMember.distance,
            Glitch.snr,
            Glitch.peak_frequency,
            Glitch.gps_time,
            Glitch.ifo,
            Embedding.mean,
        )
        .join(ClusterMember, ClusterMember.glitch_id == Glitch.id)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .join(
            Embedding,
            (Embedding.glitch_id == Glitch.id)
            & (Embedding.checkpoint_id == ClusteringRun.checkpoint_id),
        )
        .where(ClusterMember.cluster_id == cluster_id)
        .order_by(ClusterMember.distance, Glitch.id)
        .limit(MAX_MEMBERS)
    ).all()
    if not rows:
        raise NotFoundError(
            "The model that found this cluster has been replaced, and its vectors are gone: "
            "cluster again to see its distinctive latents."
        )
    return rows, np.array([row.mean for row in rows], dtype=np.float32)


def cluster_plane(session: Session, cluster_id: UUID) -> Plane:
    """Coordinates of the members in a plane, for splitting the cluster by eye.

    Clusters are found by direction of the latent vectors, so the plane shows directions.
    """
    cluster = get_cluster(session, cluster_id)
    rows, vectors = _members(session, cluster_id)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    plane = principal_plane(vectors / np.maximum(lengths, 1e-12))
    names = Point.model_fields.keys() - {"x", "y"}
    points = [
        Point(x=float(x), y=float(y), **{name: getattr(row, name) for name in names})
        for (x, y), row in zip(plane.points, rows, strict=True)
    ]
    return Plane(points=points, shares=plane.shares, size=cluster.size)


def _sample(
    session: Session,
    checkpoint_id: int,
    *,
    is_simulated: bool,
    exclude_id: UUID | None = None,
    outside: UUID | None = None,
) -> Vectors:
    """Posterior means of glitches of one origin: all if there are few, otherwise random pages.

    Leaves out the glitch ``exclude_id``, and the members of the cluster ``outside``.
    """
    pages = session.scalar(
        text("SELECT pg_relation_size(to_regclass(:name)) / 8192"),
        {"name": partition_name(checkpoint_id)},
    )
    source = aliased(Embedding)
    if pages and pages > 2 * _SAMPLE_PAGES:
        share = func.system(100 * _SAMPLE_PAGES / pages)
        source = aliased(
            Embedding, tablesample(Embedding, share, name="sampled", seed=literal(_SEED))
        )
    query = select(source.mean).where(
        source.checkpoint_id == checkpoint_id, source.is_simulated.is_(is_simulated)
    )
    if exclude_id is not None:
        query = query.where(source.glitch_id != exclude_id)
    if outside is not None:
        query = query.where(
            ~exists().where(
                ClusterMember.cluster_id == outside, ClusterMember.glitch_id == source.glitch_id
            )
        )
    rows = session.scalars(query.limit(_MAX_SAMPLED)).all()
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(rows[0]) if rows else 0)
