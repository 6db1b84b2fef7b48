"""Votes of the nearest labelled glitches on a glitch's label, exact and in limited memory."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64

from glitch.errors import GlitchError

Directions = Float32[np.ndarray, "reference latent"]
ClassIds = Int64[np.ndarray, " reference"]
Positions = Int64[np.ndarray, " query"]
Votes = Int64[np.ndarray, "query voter"]

BLOCK_CELLS = 16_000_000  # similarities in memory at a time: 64 MB
_GROUP = 64


def nearest_labels(
    directions: Directions,
    class_ids: ClassIds,
    positions: Positions,
    k: int,
    heartbeat: Callable[[], None] = lambda: None,
) -> Votes:
    """Find the classes of the k nearest other references of selected references.

    Distance is the angle between latent vectors, as for novelty.

    Args:
        directions: Unit vectors, shape (reference, latent).
        class_ids: The class of each reference.
        positions: Indices of the selected references, shape (query,).
        k: Number of voters, from 1 to the number of references less one.
        heartbeat: Called once a block; may raise to stop.

    Returns:
        Class ids, nearest first, shape (query, k). Ties go to the lower index.

    Raises:
        GlitchError: if there are fewer than k other references.
    """
    n_references = len(directions)
    if not 1 <= k < n_references:
        raise GlitchError(
            f"{k} voters need at least {k + 1} labelled glitches, not {n_references}."
        )
    votes = np.empty((len(positions), k), dtype=np.int64)
    rows = max(1, BLOCK_CELLS // n_references)
    for start in range(0, len(positions), rows):
        heartbeat()
        block = positions[start : start + rows]
        similar = directions[block] @ directions.T  # (block, reference)
        similar[np.arange(len(block)), block] = -np.inf
        order = _largest(similar, k)
        votes[start : start + len(block)] = class_ids[order]
    return votes


class Contradiction(NamedTuple):
    """A label that fewer voters agree with than agree on one other class."""

    query: int  # position among the queries
    suggested: int  # the class that most of the other voters have
    n_agreeing: int  # with the label, or with one related to it
    n_suggesting: int


def contradictions(
    votes: Votes, own: Positions, related: Callable[[int], Collection[int]]
) -> list[Contradiction]:
    """Find the labels that their nearest labelled glitches contradict.

    Args:
        votes: The result of ``nearest_labels``.
        own: The class of each query.
        related: Returns the classes that do not contradict a class, including itself.
    """
    results = []
    for query, (ballot, label) in enumerate(zip(votes, own.tolist(), strict=True)):
        voted, counts = np.unique(ballot, return_counts=True)
        agrees = np.isin(voted, list(related(label)))
        n_agreeing = int(counts[agrees].sum())
        others = np.where(agrees, 0, counts)
        if others.max() > n_agreeing:
            suggested = int(voted[others.argmax()])
            results.append(Contradiction(query, suggested, n_agreeing, int(others.max())))
    return results


def _largest(
    similar: Float32[np.ndarray, "block reference"], k: int
) -> Int64[np.ndarray, "block k"]:
    """Return the positions of the k largest entries of each row, largest first."""
    n_groups = similar.shape[1] // _GROUP
    if n_groups < 2 * k:
        return np.argsort(-similar, axis=1, kind="stable")[:, :k]
    n_grouped = n_groups * _GROUP
    maxima = similar[:, :n_grouped].reshape(len(similar), n_groups, _GROUP).max(axis=2)
    # At least k entries of the row reach the k-th largest maximum, so groups with a lower maximum
    # hold none of the k largest entries.
    threshold = np.partition(maxima, -k, axis=1)[:, -k]
    tail = np.arange(n_grouped, similar.shape[1])
    within = np.arange(_GROUP)
    largest = np.empty((len(similar), k), dtype=np.int64)
    for index, row in enumerate(similar):
        groups = np.flatnonzero(maxima[index] >= threshold[index])
        candidates = np.concatenate([(groups[:, None] * _GROUP + within).ravel(), tail])
        largest[index] = candidates[np.argsort(-row[candidates], kind="stable")[:k]]
    return largest
