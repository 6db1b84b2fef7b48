"""Nearest neighbours within a set: exact for small sets, approximate for large ones.

Above ``MAX_EXACT`` the graph is made by nearest-neighbour descent (Dong, Moses & Li 2011, as
``pynndescent`` implements it) with a fixed seed: the same vectors give the same graph.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int

MAX_EXACT = 20_000
_SEED = 20_160_601
_BLOCK_BYTES = 64 << 20
Units = Float32[np.ndarray, "glitch latent"]  # of length one
Graph = tuple[Int[np.ndarray, "glitch near"], Float[np.ndarray, "glitch near"]]


def nearest_among(units: Units, k: int, max_exact: int = MAX_EXACT) -> Graph:
    """Find the k nearest other vectors of each vector.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        k: Number of neighbours; at most one less than the number of vectors is returned.
        max_exact: Number of vectors up to which every pair is compared.

    Returns:
        Positions of the neighbours, and their chord distances (0 to 2), ascending.
    """
    k = min(k, len(units) - 1)
    if k < 1:
        return np.empty((len(units), 0), dtype=np.int64), np.empty((len(units), 0))
    if len(units) > max_exact:
        return _descent(units, k)
    return nearest_to(units, units, k, own=np.arange(len(units)))


def nearest_to(
    queries: Float32[np.ndarray, "query latent"],
    units: Units,
    k: int,
    own: Int[np.ndarray, " query"] | None = None,
) -> tuple[Int[np.ndarray, "query near"], Float[np.ndarray, "query near"]]:
    """Find the k nearest of ``units`` to each query by comparing every pair.

    Args:
        queries: Vectors of length one, float32, shape (query, latent).
        units: Vectors of length one, float32, shape (glitch, latent).
        k: Number of neighbours, at most ``len(units)`` (less one if ``own`` is given).
        own: The position of each query in ``units``, which is excluded.

    Returns:
        As ``nearest_among``.
    """
    indices = np.empty((len(queries), k), dtype=np.int64)
    chords = np.empty((len(queries), k))
    step = max(1, _BLOCK_BYTES // (4 * len(units)))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        cosines = queries[rows] @ units.T
        if own is not None:
            cosines[np.arange(len(cosines)), own[rows]] = -np.inf
        at = np.argpartition(cosines, -k, axis=1)[:, -k:]
        values = np.take_along_axis(cosines, at, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        indices[rows] = np.take_along_axis(at, order, axis=1)
        nearest = np.take_along_axis(values, order, axis=1).astype(np.float64)
        chords[rows] = np.sqrt(np.maximum(2 - 2 * nearest, 0))
    return indices, chords


def _descent(units: Units, k: int) -> Graph:
    from pynndescent import NNDescent  # compiles for seconds

    index = NNDescent(
        units, metric="euclidean", n_neighbors=k + 1, random_state=_SEED, n_jobs=1, low_memory=True
    )
    indices, chords = index.neighbor_graph
    # Each vector finds itself first, unless another one is identical.
    itself = indices == np.arange(len(units))[:, None]
    itself[~itself.any(axis=1), -1] = True
    shape = (len(units), k)
    return indices[~itself].reshape(shape).astype(np.int64), chords[~itself].reshape(shape).astype(
        np.float64
    )
