"""Clusters: groups of similar glitches, their distinctive latents, and recurrence of classes."""

from glitch.clustering.density import (
    EXEMPLARS,
    MIN_CLUSTER_SIZE,
    SAME_FROM,
    FoundCluster,
    Match,
    Unit,
    describe_cluster,
    find_clusters,
    match_clusters,
    unit_vectors,
)

__all__ = [
    "EXEMPLARS",
    "MIN_CLUSTER_SIZE",
    "SAME_FROM",
    "FoundCluster",
    "Match",
    "Unit",
    "describe_cluster",
    "find_clusters",
    "match_clusters",
    "unit_vectors",
]
