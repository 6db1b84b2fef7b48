"""Retrieval: are the nearest glitches of the same class?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from glitch.errors import GlitchError

Vectors = Float[np.ndarray, "glitch latent"]


@dataclass(frozen=True)
class Retrieval:
    """How well neighbours agree in class; all in [0, 1], higher is better."""

    mean_average_precision: float  # at ``depth``, over all queries
    balanced_mean_average_precision: float  # mean over classes of the mean over their queries
    nearest_accuracy: float  # fraction of queries whose nearest neighbour is of their class
    depth: int
    n_queries: int


def retrieve(
    vectors: Vectors, labels: Sequence[str], groups: Sequence[str], *, depth: int = 10
) -> Retrieval:
    """Query all glitches with every glitch, in Euclidean distance, as the service does.

    Copies in the query's own group are excluded. The average precision of a query is the mean, over
    the correct results among the first ``depth``, of the precision down to each; the denominator is
    the number of correct results possible (at most ``depth``). Glitches whose class has no other
    group are not queries.

    Args:
        vectors: posterior means.
        labels: class of each glitch.
        groups: near-identical copies share a group.
        depth: number of results that count.

    Raises:
        GlitchError: if no glitch has another of its class.
    """
    names, owners = np.asarray(labels), np.asarray(groups)
    squares = np.square(vectors, dtype=np.float64).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * vectors.astype(np.float64) @ vectors.T
    distances[owners[:, None] == owners[None]] = np.inf
    order = distances.argsort(axis=1, kind="stable")[:, :depth]
    is_answer = np.isfinite(np.take_along_axis(distances, order, axis=1))
    is_right = (names[order] == names[:, None]) & is_answer
    possible = ((names[:, None] == names[None]) & (owners[:, None] != owners[None])).sum(axis=1)
    asks = possible > 0
    if not asks.any():
        raise GlitchError("No glitch has another of its class: there is nothing to retrieve.")
    precision = is_right.cumsum(axis=1) / (np.arange(order.shape[1]) + 1)
    average = (precision * is_right).sum(axis=1) / np.minimum(np.maximum(possible, 1), depth)
    by_class = [average[asks & (names == name)].mean() for name in sorted(set(names[asks]))]
    return Retrieval(
        float(average[asks].mean()),
        float(np.mean(by_class)),
        float(is_right[asks, 0].mean()),
        depth,
        int(asks.sum()),
    )
