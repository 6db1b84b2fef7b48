"""Area-averaging resampling: every cell of the grid is the mean over what it covers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64


@lru_cache(maxsize=16)
def _even_weights(n_from: int, n_to: int) -> Float32[np.ndarray, "to from"]:
    edges = np.arange(n_from + 1, dtype=np.float64)
    weights = overlap_weights(edges, np.linspace(0, n_from, n_to + 1)).astype(np.float32)
    weights.setflags(write=False)
    return weights


def overlap_weights(
    from_edges: Float64[np.ndarray, " from_edges"], to_edges: Float64[np.ndarray, " to_edges"]
) -> Float64[np.ndarray, "to from"]:
    """Share of each old cell in each new one; a row sums to 1, or to 0 where nothing overlaps."""
    low = np.maximum(from_edges[None, :-1], to_edges[:-1, None])
    high = np.minimum(from_edges[None, 1:], to_edges[1:, None])
    overlap = np.maximum(high - low, 0.0)
    total = overlap.sum(axis=1, keepdims=True)
    shares = np.divide(overlap, total, out=np.zeros_like(overlap), where=total > 0)
    return np.asarray(shares, dtype=np.float64)


def average_to_grid(
    pixels: Float32[np.ndarray, "height width"], n_rows: int, n_columns: int
) -> Float32[np.ndarray, "rows columns"]:
    """Mean of the pixels over each cell of an even grid with the same outer edges."""
    rows = _even_weights(pixels.shape[0], n_rows)
    columns = _even_weights(pixels.shape[1], n_columns)
    return np.asarray(rows @ pixels @ columns.T, dtype=np.float32)
