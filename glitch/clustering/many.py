"""HDBSCAN for many glitches, on a nearest-neighbour graph instead of all pairs.

scikit-learn's HDBSCAN compares every pair, so its time grows with the square. Here mutual
reachability is computed only between each glitch and its nearest neighbours (``glitch.nearest``);
the minimum spanning tree of that sparse graph replaces the full one, and ``fast-hdbscan`` condenses
it and chooses clusters by excess of mass, as Campello, Moulavi & Sander (2013) do. Unconnected
parts of the graph are joined at their densest glitches, so that there is one tree.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.nearest import Graph, nearest_among
from glitch.types import LatentArray

NEIGHBOURS = 15
_JOINING = 10  # nearest parts considered for joining a part
_MIN_DISTANCE = 1e-9  # scipy takes a distance of 0 for no edge
Subgraph = tuple[Int[np.ndarray, "kept near"], Float[np.ndarray, "kept near"]]
Edges = Float[np.ndarray, "edge 3"]  # from, to, mutual reachability


def neighbour_graph(units: LatentArray) -> Graph:
    """Build the graph for ``clusters_of_graph`` from vectors of length one, float32."""
    return nearest_among(units, NEIGHBOURS)


def without(graph: Graph, is_kept: Bool[np.ndarray, " glitch"]) -> Subgraph:
    """Restrict the graph to the glitches to keep, so that a subsample needs no search."""
    indices, chords = graph[0][is_kept], graph[1][is_kept]
    is_near = is_kept[indices]
    order = np.argsort(~is_near, axis=1, kind="stable")  # kept neighbours first, in their order
    renumbered = np.where(is_near, (np.cumsum(is_kept) - 1)[indices], -1)
    distances = np.where(is_near, chords, np.inf)
    return np.take_along_axis(renumbered, order, 1), np.take_along_axis(distances, order, 1)


def clusters_of_graph(
    units: LatentArray, graph: Graph, min_cluster_size: int, min_samples: int, *, may_be_lone: bool
) -> tuple[Int[np.ndarray, " glitch"], Float[np.ndarray, " glitch"]]:
    """Compute labels (-1 is noise) and probabilities in [0, 1].

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        graph: Their graph, from ``neighbour_graph`` or ``without``.
        min_cluster_size: Least number of members of a cluster.
        min_samples: Glitches, itself included, up to which the core distance reaches; 2 or more.
        may_be_lone: Whether all of them may be one cluster.
    """
    from fast_hdbscan.hdbscan import clusters_from_spanning_tree  # compiles for seconds

    indices, chords = graph
    cores = chords[:, min(min_samples - 2, chords.shape[1] - 1)]
    tree = _spanning_tree(units, indices, chords, np.where(np.isfinite(cores), cores, 2.0))
    labels, probabilities, *_ = clusters_from_spanning_tree(
        tree, min_cluster_size=min_cluster_size, allow_single_cluster=may_be_lone
    )
    certain = np.clip(np.nan_to_num(probabilities.astype(np.float64)), 0.0, 1.0)
    return labels.astype(np.int64), certain


def _spanning_tree(
    units: LatentArray,
    indices: Int[np.ndarray, "glitch near"],
    chords: Float[np.ndarray, "glitch near"],
    cores: Float[np.ndarray, " glitch"],
) -> Edges:
    n = len(units)
    edges, parts = _forest(indices, chords, cores, n)
    rounds = [edges]
    while parts.max() > 0:
        # The densest glitch represents each part; each round at least halves the number of parts.
        order = np.lexsort((np.arange(n), cores, parts))
        firsts = np.concatenate([[True], np.diff(parts[order]) > 0])
        chosen = order[firsts]
        neighbours, distances = nearest_among(units[chosen], _JOINING)
        joins, groups = _forest(neighbours, distances, cores[chosen], len(chosen))
        joins[:, 0], joins[:, 1] = chosen[joins[:, 0].astype(int)], chosen[joins[:, 1].astype(int)]
        rounds.append(joins)
        parts = groups[parts]
    return np.concatenate(rounds)


def _forest(
    indices: Int[np.ndarray, "glitch near"],
    chords: Float[np.ndarray, "glitch near"],
    cores: Float[np.ndarray, " glitch"],
    n: int,
) -> tuple[Edges, Int[np.ndarray, " glitch"]]:
    """Return the minimum spanning edges of the graph, and the connected part of each glitch."""
    # Imported here: a process that does not cluster needs neither.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    starts = np.repeat(np.arange(n), indices.shape[1])
    ends, distances = indices.ravel(), chords.ravel()
    is_edge = ends >= 0
    starts, ends, distances = starts[is_edge], ends[is_edge], distances[is_edge]
    reach = np.maximum(np.maximum(distances, np.maximum(cores[starts], cores[ends])), _MIN_DISTANCE)
    # Keep one direction of each pair: the weights of duplicate edges would be summed.
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    _, unique = np.unique(low * n + high, return_index=True)
    graph = coo_array((reach[unique], (low[unique], high[unique])), shape=(n, n)).tocsr()
    tree = minimum_spanning_tree(graph).tocoo()
    _, parts = connected_components(tree, directed=False)
    return np.column_stack([tree.row, tree.col, tree.data]).astype(np.float64), parts.astype(
        np.int64
    )
