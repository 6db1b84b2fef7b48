"""Clusters of similar glitches: HDBSCAN on directions in the latent space.

The angle between latent vectors is compared, not their distance: the length of a posterior mean
grows with the number of views and their loudness; its direction describes their content. On vectors
of length one the Euclidean distance d and the angle a obey d = 2 sin(a / 2), so HDBSCAN (Campello,
Moulavi & Sander 2013) needs no other metric.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.clustering.many import clusters_of_graph, neighbour_graph, without
from glitch.errors import GlitchError
from glitch.types import LatentArray

MIN_CLUSTER_SIZE = 3
EXEMPLARS = 8
SAME_FROM = 0.3  # Jaccard index from which two clusters of different runs count as the same
EXACT_MEDOID = 2000  # members up to which all pairs are compared for the medoid
MIN_SAMPLES = 3  # HDBSCAN's min_samples
REACH = 1.5  # of the core's median spacing: glitches within it join; chosen on real glitches
MAX_CHORD = 1.25  # largest 90 % quantile of the chord (77 degrees) to the centre of a lone cluster
SUBSAMPLES = 10  # subsamples for the stability
SUBSAMPLE = 0.8
MAX_FULLY_SAMPLED = 3000  # above, fewer subsamples: each needs another clustering
MAX_COMPARED = 6000  # above, a nearest-neighbour graph replaces all pairs
MAX_SAMPLED_THRICE = 100_000  # above, one subsample

Unit = Float[np.ndarray, "glitch latent"]
Kept = Bool[np.ndarray, " glitch"]
Labelling = tuple[Int[np.ndarray, " clustered"], Float[np.ndarray, " clustered"]]
Fit = Callable[[Kept, int], Labelling]  # returns labels and probabilities of the kept glitches


@dataclass(frozen=True, eq=False)
class FoundCluster:
    """A cluster as positions in the array that was clustered."""

    members: Int[np.ndarray, " member"]  # ascending
    probabilities: Float[np.ndarray, " member"]  # in [0, 1]; higher is more certainly a member
    distances: Float[np.ndarray, " member"]  # to the medoid, chord of the unit sphere, 0 to 2
    medoid: int  # position of the member with the least mean distance to the others
    exemplars: tuple[int, ...]  # positions, from the medoid to the farthest member
    stability: float  # in [0, 1]; higher is more often found again in subsamples


class Match(NamedTuple):
    """An earlier cluster that a cluster continues."""

    previous: int  # its position
    overlap: float  # Jaccard index in (0, 1]; higher is more similar


def unit_vectors(vectors: LatentArray) -> Unit:
    """Divide each vector by its length, in float64; a zero vector stays zero.

    Args:
        vectors: Posterior means, shape (glitch, latent).
    """
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.where(lengths > 0, lengths, 1.0)


def find_clusters(
    vectors: LatentArray,
    min_cluster_size: int,
    rng: np.random.Generator,
    heartbeat: Callable[[], None] | None = None,
) -> list[FoundCluster]:
    """Find clusters of glitches by the direction of their latent vectors, largest first.

    Deterministic for a given generator state; only the stability depends on ``rng``. Up to
    ``MAX_COMPARED`` glitches every pair is compared; beyond, time grows little faster than their
    number (``glitch.clustering.many``).

    Args:
        vectors: Posterior means, shape (glitch, latent), finite.
        min_cluster_size: Least number of members of a cluster; at least 3.
        rng: Draws the subsamples from which stability is measured (Hennig 2007).
        heartbeat: Called between the clusterings; may raise to stop.

    Returns:
        The clusters; glitches in none of them are noise.

    Raises:
        GlitchError: if there are fewer glitches than one cluster needs, or the size is too small.
    """
    if min_cluster_size < MIN_CLUSTER_SIZE:
        raise GlitchError(
            f"A cluster needs a minimum size of {MIN_CLUSTER_SIZE} or more, not {min_cluster_size}."
        )
    if len(vectors) < min_cluster_size:
        raise GlitchError(
            f"There are {len(vectors)} glitches to cluster, fewer than the minimum cluster size of "
            f"{min_cluster_size}: wait for more, or choose a smaller minimum or a higher "
            "false-discovery rate."
        )
    units = unit_vectors(vectors)
    fit = _fit_many(units) if len(units) > MAX_COMPARED else _fit_few(units)
    every_glitch = np.ones(len(units), dtype=np.bool_)
    labels, probabilities = fit(every_glitch, min_cluster_size)
    groups = _groups(labels)
    stabilities = _stabilities(fit, labels, min_cluster_size, rng, heartbeat)
    clusters = [
        describe_cluster(units, members, probabilities[members], stability)
        for members, stability in zip(groups, stabilities, strict=True)
    ]
    return sorted(clusters, key=lambda cluster: (-len(cluster.members), int(cluster.members[0])))


def match_clusters(
    current: Sequence[AbstractSet[object]],
    previous: Sequence[AbstractSet[object]],
    n_seen: Int[np.ndarray, "current previous"],
) -> list[Match | None]:
    """Find the earlier cluster that each cluster continues, if any; none is continued twice.

    The pairing has the largest possible sum of Jaccard indices; pairs below ``SAME_FROM`` are
    dropped.

    Args:
        current: The members of each cluster.
        previous: The members of each earlier cluster that are in the current run.
        n_seen: Number of members of each current cluster that existed at the run of each earlier
            cluster. Only these count, because otherwise growth alone would make it a different
            cluster.
    """
    if not current or not previous:
        return [None] * len(current)
    from scipy.optimize import linear_sum_assignment  # slow to import

    holders: defaultdict[object, list[int]] = defaultdict(list)
    for column, old in enumerate(previous):
        for member in old:
            holders[member].append(column)
    overlaps = np.zeros((len(current), len(previous)))
    for row, new in enumerate(current):
        shared = Counter(column for member in new for column in holders.get(member, ()))
        for column, n in shared.items():
            overlaps[row, column] = n / (n_seen[row, column] + len(previous[column]) - n)
    overlaps[overlaps < SAME_FROM] = 0.0
    matches: list[Match | None] = [None] * len(current)
    for row, column in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
        if overlaps[row, column] > 0:
            matches[row] = Match(int(column), float(overlaps[row, column]))
    return matches


def _hdbscan(
    units: Unit, min_cluster_size: int
) -> tuple[Int[np.ndarray, " glitch"], Float[np.ndarray, " glitch"]]:
    """Compute labels (-1 is noise) and probabilities.

    The glitches may form a single cluster plus noise, so the root of the tree may be a cluster, but
    only if its members are similar, because scikit-learn prefers the root whenever it is allowed.
    """
    labels, probabilities = _fit(units, min_cluster_size, may_be_lone=True)
    if labels.max() != 0:
        return labels, probabilities
    labels, probabilities = _grow(units, labels, probabilities)
    members = units[labels == 0]
    middle = members[int((members @ members.mean(axis=0)).argmax())]
    if np.quantile(np.linalg.norm(members - middle, axis=1), 0.9) <= MAX_CHORD:
        return labels, probabilities
    return _fit(units, min_cluster_size, may_be_lone=False)


def _fit(
    units: Unit, min_cluster_size: int, *, may_be_lone: bool
) -> tuple[Int[np.ndarray, " glitch"], Float[np.ndarray, " glitch"]]:
    from sklearn.cluster import HDBSCAN  # import takes a second

    model = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=min(min_cluster_size, MIN_SAMPLES),
        allow_single_cluster=may_be_lone,
        # The other algorithms store all distances: 3.2 GB for 20,000 glitches.
        algorithm="kd_tree",
        copy=True,
    ).fit(units)
    return model.labels_.astype(np.int64), np.clip(model.probabilities_, 0.0, 1.0)


def _grow(
    units: Unit, labels: Int[np.ndarray, " glitch"], probabilities: Float[np.ndarray, " glitch"]
) -> tuple[Int[np.ndarray, " glitch"], Float[np.ndarray, " glitch"]]:
    """Complete a single cluster, for which HDBSCAN gives only the core.

    Add glitches about as near to a member as the core's members are to their neighbours, until
    there are no more. (A single cluster is the root of HDBSCAN's tree, and scikit-learn keeps only
    the part of the root that remains until its split.)
    """
    from sklearn.neighbors import NearestNeighbors

    labels, probabilities = labels.copy(), probabilities.copy()
    neighbour_search = NearestNeighbors().fit(units)
    core = np.nonzero(labels == 0)[0]
    k = min(MIN_SAMPLES + 1, len(units))  # itself included
    reaches = neighbour_search.kneighbors(units[core], n_neighbors=k)[0][:, -1]
    least, reach = max(float(reaches.min()), 1e-12), REACH * max(float(np.median(reaches)), 1e-12)
    edge = core
    while len(edge):
        distances, indices = neighbour_search.radius_neighbors(units[edge], reach)
        joining: dict[int, float] = {}
        for row_distances, row_indices in zip(distances, indices, strict=True):
            for distance, index in zip(row_distances.tolist(), row_indices.tolist(), strict=True):
                if labels[index] < 0:
                    joining[index] = min(distance, joining.get(index, np.inf))
        edge = np.array(sorted(joining), dtype=np.int64)
        labels[edge] = 0
        for (
            index,
            distance,
        ) in joining.items():  # as in HDBSCAN: inverse distance over the largest one
            probabilities[index] = min(1.0, least / max(distance, least))
    return labels, probabilities


def _fit_few(units: Unit) -> Fit:
    """Return a fit that compares every pair."""

    def fit(is_kept: Kept, min_cluster_size: int) -> Labelling:
        return _hdbscan(units[is_kept], min_cluster_size)

    return fit


def _fit_many(units: Unit) -> Fit:
    """Return a fit on a nearest-neighbour graph, which is computed once."""
    narrow = units.astype(np.float32)
    graph = neighbour_graph(narrow)
    # All may be one cluster only if they are similar, as in _hdbscan.
    middle = narrow[int((narrow @ narrow.mean(axis=0)).argmax())]
    is_one_look = bool(np.quantile(np.linalg.norm(narrow - middle, axis=1), 0.9) <= MAX_CHORD)

    def fit(is_kept: Kept, min_cluster_size: int) -> Labelling:
        is_complete = bool(is_kept.all())
        return clusters_of_graph(
            narrow if is_complete else narrow[is_kept],
            graph if is_complete else without(graph, is_kept),
            min_cluster_size,
            min(min_cluster_size, MIN_SAMPLES),
            may_be_lone=is_one_look,
        )

    return fit


def _groups(labels: Int[np.ndarray, " glitch"]) -> list[Int[np.ndarray, " member"]]:
    """Return the members of each cluster, ascending."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(labels.max() + 2))
    return [order[start:end] for start, end in pairwise(bounds)]


def _stabilities(
    fit: Fit,
    labels: Int[np.ndarray, " glitch"],
    min_cluster_size: int,
    rng: np.random.Generator,
    heartbeat: Callable[[], None] | None,
) -> list[float]:
    """Average over subsamples the Jaccard index of each cluster with its most similar one."""
    n, n_clusters = len(labels), int(labels.max()) + 1
    rounds = SUBSAMPLES if n <= MAX_FULLY_SAMPLED else 3 if n <= MAX_SAMPLED_THRICE else 1
    sums = np.zeros(n_clusters)
    for _ in range(rounds if n_clusters else 0):
        if heartbeat is not None:
            heartbeat()
        is_kept = np.zeros(n, dtype=np.bool_)
        is_kept[rng.choice(n, max(1, round(SUBSAMPLE * n)), replace=False)] = True
        if is_kept.sum() < min_cluster_size:
            continue
        refit, _ = fit(is_kept, max(MIN_CLUSTER_SIZE, round(SUBSAMPLE * min_cluster_size)))
        sums += _best_overlaps(labels[is_kept], refit, n_clusters)
    return [float(value) for value in np.clip(sums / rounds, 0.0, 1.0)]


def _best_overlaps(
    labels: Int[np.ndarray, " glitch"], refit: Int[np.ndarray, " glitch"], n_clusters: int
) -> Float[np.ndarray, " cluster"]:
    """Return the largest Jaccard index of each cluster of one labelling with any of another."""
    best = np.zeros(n_clusters)
    if refit.max() < 0:
        return best
    both = (labels >= 0) & (refit >= 0)
    pairs, shared = np.unique(labels[both] * (refit.max() + 1) + refit[both], return_counts=True)
    first, second = np.divmod(pairs, refit.max() + 1)
    sizes = np.bincount(labels[labels >= 0], minlength=n_clusters)
    others = np.bincount(refit[refit >= 0])
    np.maximum.at(best, first, shared / (sizes[first] + others[second] - shared))
    return best


def describe_cluster(
    units: Unit,
    members: Int[np.ndarray, " member"],
    probabilities: Float[np.ndarray, " member"],
    stability: float,
) -> FoundCluster:
    """Build a cluster from its members, with its medoid and exemplars.

    Args:
        units: Vectors of length one, shape (glitch, latent).
        members: Positions in ``units``, ascending.
        probabilities: Membership probability of each, in [0, 1].
        stability: In [0, 1]; higher is more stable.
    """
    points = units[members]
    if len(points) <= EXACT_MEDOID:
        gram = np.clip(points @ points.T, -1.0, 1.0)
        centre = int(np.sqrt(np.maximum(2 - 2 * gram, 0)).sum(axis=1).argmin())
    else:  # nearest to the mean direction, without comparing pairs
        centre = int((points @ points.mean(axis=0)).argmax())
    distances = np.linalg.norm(points - points[centre], axis=1)
    outwards = np.argsort(distances, kind="stable")
    outwards = np.concatenate([[centre], outwards[outwards != centre]])
    steps = np.unique(np.linspace(0, len(outwards) - 1, EXEMPLARS).round().astype(np.int64))
    return FoundCluster(
        members=members,
        probabilities=probabilities,
        distances=distances,
        medoid=int(members[centre]),
        exemplars=tuple(int(members[index]) for index in outwards[steps]),
        stability=stability,
    )
