"""Exact nearest neighbours: the reference for tests of every faster search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int64

from glitch.errors import GlitchError

Queries = Float32[np.ndarray, "query latent"]
References = Float32[
    np.ndarray, "reference other_latent"
]  # another name, so that a size mismatch raises our own error

BLOCK = 256  # queries per block; limits memory to BLOCK x references


class Neighbours(NamedTuple):
    """The nearest references of each query, nearest first."""

    distances: Float64[np.ndarray, "query k"]  # Euclidean, in latent units; lower is nearer
    indices: Int64[np.ndarray, "query k"]


def nearest(queries: Queries, references: References, k: int) -> Neighbours:
    """Find the k nearest references of each query in Euclidean distance; ties go to the lower
    index.

    Distances are computed from differences in float64, not from expanded squares, so that a
    vector's distance to itself is exactly zero and nearly identical glitches keep their order.

    Raises:
        GlitchError: if k is not in 1..number of references, or the latents differ in size.
    """
    if not 1 <= k <= len(references):
        raise GlitchError(f"k must lie in 1..{len(references)}, the number of references.")
    if queries.shape[1] != references.shape[1]:
        raise GlitchError(
            f"Queries of {queries.shape[1]} dimensions cannot be compared with references of "
            f"{references.shape[1]}: they come from different checkpoints."
        )
    known = references.astype(np.float64)
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK].astype(np.float64)
        squares = np.zeros((len(block), len(known)))
        for axis in range(known.shape[1]):
            squares += np.square(block[:, None, axis] - known[None, :, axis])
        order = np.argsort(squares, axis=1, kind="stable")[:, :k]
        indices[start : start + BLOCK] = order
        distances[start : start + BLOCK] = np.sqrt(np.take_along_axis(squares, order, axis=1))
    return Neighbours(distances, indices)
