"""Area-averaging resampling: every cell of the grid is the mean over what it covers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64, Int


def cell_of_pixel(n_pixels: int, n_cells: int) -> Int[np.ndarray, " pixel"]:
    """The cell that holds each pixel's centre; on a tie, the later. In integers, so exact."""
    return np.asarray((2 * np.arange(n_pixels) + 1) * n_cells // (2 * n_pixels), dtype=np.intp)


@lru_cache(maxsize=16)
def _weights(n_pixels: int, n_cells: int, are_pixels_whole: bool) -> Float32[np.ndarray, "to from"]:
    if are_pixels_whole and n_pixels >= n_cells:
        cells = cell_of_pixel(n_pixels, n_cells)
        overlap = (cells == np.arange(n_cells)[:, None]).astype(np.float64)
    else:
        edges = np.arange(n_pixels + 1, dtype=np.float64)
        overlap = overlaps(edges, np.linspace(0, n_pixels, n_cells + 1))
    weights = shares(overlap).astype(np.float32)
    weights.setflags(write=False)
    return weights


def overlaps(
    from_edges: Float64[np.ndarray, " from_edges"], to_edges: Float64[np.ndarray, " to_edges"]
) -> Float64[np.ndarray, "to from"]:
    """Length that each old cell shares with each new one."""
    low = np.maximum(from_edges[None, :-1], to_edges[:-1, None])
    high = np.minimum(from_edges[None, 1:], to_edges[1:, None])
    return np.asarray(np.maximum(high - low, 0.0), dtype=np.float64)


def shares(overlap: Float64[np.ndarray, "to from"]) -> Float64[np.ndarray, "to from"]:
    """Averaging weights: a row sums to 1, or to 0 where nothing overlaps."""
    total = overlap.sum(axis=1, keepdims=True)
    weights = np.divide(overlap, total, out=np.zeros_like(overlap), where=total > 0)
    return np.asarray(weights, dtype=np.float64)


def average_to_grid(
    pixels: Float32[np.ndarray, "height width"],
    shape: tuple[int, int],
    *,
    are_pixels_whole: bool = False,
) -> Float32[np.ndarray, "rows columns"]:
    """Mean of the pixels over each cell of an even grid with the same outer edges.

    Pixels on an edge are shared out by area, or, where a picture was drawn cell by cell on this
    very grid, count wholly for the cell that they were drawn from.
    """
    rows = _weights(pixels.shape[0], shape[0], are_pixels_whole)
    columns = _weights(pixels.shape[1], shape[1], are_pixels_whole)
    return np.asarray(rows @ pixels @ columns.T, dtype=np.float32)
