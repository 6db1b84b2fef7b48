"""Area-averaging resampling: every cell of the grid is the mean over what it covers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int

LEAST_COVER = 0.5  # of a cell must be measured for its mean to count as observed


def cell_of_pixel(n_pixels: int, n_cells: int) -> Int[np.ndarray, " pixel"]:
    """The cell that holds each pixel's centre; on a tie, the later. In integers, so exact."""
    cells: Int[np.ndarray, " pixel"] = (2 * np.arange(n_pixels) + 1) * n_cells // (2 * n_pixels)
    return cells


@lru_cache(maxsize=16)
def pixel_overlaps(
    n_pixels: int, n_cells: int, are_pixels_whole: bool
) -> Float64[np.ndarray, "cell pixel"]:
    """Share of each pixel (of an even line of them) that lies in each cell.

    A pixel on an edge is split, or, where a picture was drawn cell by cell on this very grid,
    counts wholly for the cell that it was drawn from.
    """
    if are_pixels_whole:
        cells = cell_of_pixel(n_pixels, n_cells)
        overlap = np.asarray(cells == np.arange(n_cells)[:, None], dtype=np.float64)
    else:
        edges = np.arange(n_pixels + 1, dtype=np.float64)
        overlap = overlaps(edges, np.linspace(0, n_pixels, n_cells + 1))
    overlap.setflags(write=False)  # it is cached
    return overlap


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


def covered_shares(
    overlap: Float64[np.ndarray, "to from"],
    is_measured: Bool[np.ndarray, " from"],
    spans: Float64[np.ndarray, " to"],
) -> tuple[Float64[np.ndarray, "to from"], Bool[np.ndarray, " to"]]:
    """Averaging weights over measured cells only, and which new cells count as measured.

    A new cell counts where at least half of its span was measured; elsewhere its weights are 0.
    """
    measured = overlap * is_measured
    is_covered = np.asarray(measured.sum(axis=1) >= LEAST_COVER * spans, dtype=np.bool_)
    return shares(measured * is_covered[:, None]), is_covered
