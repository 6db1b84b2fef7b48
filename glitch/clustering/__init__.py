"""Clusters: groups of glitches that look alike, what tells them apart, and their recurrence."""

from glitch.clustering.density import (
    EXEMPLARS,
    LEAST_CLUSTER_SIZE,
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
    "LEAST_CLUSTER_SIZE",
    "SAME_FROM",
    "FoundCluster",
    "Match",
    "Unit",
    "describe_cluster",
    "find_clusters",
    "match_clusters",
    "unit_vectors",
]
