"""Resample by area: every cell of the grid is the mean of the pixels that it covers.

Lines are summed without matrix products: a BLAS that starts threads for those triples the processor
time when other cores are busy.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64

MIN_COVER = 0.5  # least measured share of a cell for its mean to count as observed


def shares(are_true: Bool[np.ndarray, "row column"], axis: int) -> Float64[np.ndarray, " line"]:
    """Return the share of true values along an axis: like ``mean``, in a sixth of the time."""
    counts = np.add.reduce(are_true.view(np.uint8), axis=axis, dtype=np.uint32)
    return np.asarray(counts / are_true.shape[axis], dtype=np.float64)


def even_edges(n_pixels: int, n_cells: int, are_pixels_whole: bool) -> Float64[np.ndarray, " edge"]:
    """Return the edges of evenly spaced cells, in pixels.

    An edge may cut a pixel. In a picture that was drawn cell by cell on this grid
    (``are_pixels_whole``), edges lie between pixels: each pixel belongs to the cell that it was
    drawn from.
    """
    if not are_pixels_whole:
        return np.linspace(0, n_pixels, n_cells + 1)
    first = np.searchsorted(cell_of_pixel(n_pixels, n_cells), np.arange(n_cells + 1))
    return np.asarray(first, dtype=np.float64)


def cell_of_pixel(n_pixels: int, n_cells: int) -> np.ndarray:
    """Return the cell that holds each pixel's centre; the later one on a tie. Integer, so exact."""
    return np.asarray((2 * np.arange(n_pixels) + 1) * n_cells // (2 * n_pixels), dtype=np.intp)


def cell_means(
    values: Float[np.ndarray, "old other"],
    from_edges: Float64[np.ndarray, " old+1"],
    to_edges: Float64[np.ndarray, " edge"],
    is_measured: Bool[np.ndarray, " old"],
) -> tuple[Float[np.ndarray, "new other"], Bool[np.ndarray, " new"]]:
    """Average the lines of ``values`` over new cells along the first axis.

    Returns:
        The means over the measured lines, and which new cells are covered: those of which at least
            MIN_COVER (half) was measured. The mean of the others is 0.
    """
    widths = np.diff(from_edges) * is_measured
    position = np.interp(to_edges, from_edges, np.arange(len(from_edges), dtype=np.float64))
    starts, ends = position[:-1], position[1:]
    first = np.minimum(starts.astype(np.intp), len(values) - 1)
    n_lines = np.ceil(ends).astype(np.intp) - first
    if values.strides[-1] != values.itemsize:
        values = np.ascontiguousarray(values)
    sums = np.zeros((len(starts), values.shape[1]), dtype=values.dtype)
    for offset in range(n_lines.max()):  # the first line of every cell, then the second, ...
        cells = np.flatnonzero(n_lines > offset)
        lines = first[cells] + offset
        shares = np.minimum(ends[cells], lines + 1) - np.maximum(starts[cells], lines)
        part = values[lines]
        part *= (shares * widths[lines])[:, None].astype(values.dtype)
        if len(cells) == len(sums):
            sums += part
        else:
            sums[cells] += part
    measured = np.diff(np.interp(to_edges, from_edges, np.concatenate([[0.0], np.cumsum(widths)])))
    is_covered = np.asarray(measured >= MIN_COVER * np.diff(to_edges), dtype=np.bool_)
    weight = np.divide(1, measured, out=np.zeros_like(measured), where=is_covered)
    sums *= weight[:, None].astype(values.dtype)
    return sums, is_covered
