"""Convert a plane's rows of tiles to the pixels of a view: interpolation and means as matrices.

gwpy draws a plane by a cubic spline along each row, then one across the rows, sampled every 2 ms
and 0.5 Hz (Gravity Spy's ``tres`` and ``fres``). Both splines are linear in the energies, so they
are computed once as matrices. Between the samples the picture is taken to be linear; a pixel is the
mean of the clipped picture over its cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from glitch.views import Preprocessing

TIME_STEP_S = 0.002  # Gravity Spy's tres
FREQUENCY_STEP_HZ = 0.5  # Gravity Spy's fres

Matrix = Float64[np.ndarray, "to from_"]


def sample_times_s(preprocessing: Preprocessing) -> Float64[np.ndarray, " sample"]:
    """Return the times in s of the picture's samples relative to the GPS time.

    They span the longest window.
    """
    half_s = max(preprocessing.durations_s) / 2
    n_steps = math.ceil(2 * half_s / TIME_STEP_S - 1e-9)
    return np.asarray(np.arange(n_steps + 1) * TIME_STEP_S - half_s)


@dataclass(frozen=True, eq=False)
class TimeMeans:
    """How a view's columns average the picture's samples, block by block.

    The pattern of columns and samples repeats (at 2 ms, every 0.25 s), so one small matrix serves
    every block.

    Attributes:
        first: first sample of the view.
        step: samples from one block to the next.
        n_blocks: number of blocks in the view.
        weights: means of one block, (columns of the block, samples under them).
    """

    first: int
    step: int
    n_blocks: int
    weights: Matrix


def time_means(preprocessing: Preprocessing, duration_s: float) -> TimeMeans:
    """Return the means over a view's columns, in the smallest blocks that repeat."""
    used, weights = time_weights(preprocessing, duration_s)
    n_columns, n_samples = weights.shape
    for n_blocks in range(math.gcd(n_columns, n_samples - 1), 1, -1):
        if n_columns % n_blocks or (n_samples - 1) % n_blocks:
            continue
        rows, step = n_columns // n_blocks, (n_samples - 1) // n_blocks
        block = weights[:rows, : step + 1]
        rebuilt = np.zeros_like(weights)
        for index in range(n_blocks):
            low = index * step
            rebuilt[index * rows : (index + 1) * rows, low : low + step + 1] = block
        if np.allclose(rebuilt, weights, atol=1e-9):
            return TimeMeans(used.start, step, n_blocks, block)
    return TimeMeans(used.start, n_samples, 1, weights)


def time_weights(preprocessing: Preprocessing, duration_s: float) -> tuple[slice, Matrix]:
    """Return which samples a view uses, and the full matrix that averages them over its columns."""
    times = sample_times_s(preprocessing)
    edges = (np.arange(preprocessing.n_time + 1) / preprocessing.n_time - 0.5) * duration_s
    first = max(0, int(np.searchsorted(times, edges[0] + 1e-9)) - 1)
    last = min(times.size, int(np.searchsorted(times, edges[-1] - 1e-9)) + 1)
    used = slice(first, last)
    return used, cell_means(times[used], edges)


def cell_means(positions: np.ndarray, edges: np.ndarray) -> Matrix:
    """Return the matrix of exact cell means of the piecewise linear function through samples.

    The function is constant beyond the first and last sample.
    """
    # integral of each hat function up to every edge, from the antiderivative of each piece
    grid = np.clip(edges, positions[0], positions[-1])
    index = np.clip(np.searchsorted(positions, grid, side="right") - 1, 0, positions.size - 2)
    steps = np.diff(positions)
    upto = np.zeros((edges.size, positions.size))
    trapezoid = np.zeros(positions.size)
    for edge, (x, i) in enumerate(zip(grid, index, strict=True)):
        trapezoid[:] = 0
        trapezoid[:i] += steps[:i] / 2
        trapezoid[1 : i + 1] += steps[:i] / 2
        u = (x - positions[i]) / steps[i]
        trapezoid[i] += steps[i] * (u - u**2 / 2)
        trapezoid[i + 1] += steps[i] * u**2 / 2
        upto[edge] = trapezoid
        upto[edge, 0] -= max(positions[0] - edges[edge], 0)
        upto[edge, -1] += max(edges[edge] - positions[-1], 0)
    return np.asarray(np.diff(upto, axis=0) / np.diff(edges)[:, None])


def frequency_edges_hz(preprocessing: Preprocessing) -> Float64[np.ndarray, " edge"]:
    """Return the edges of the view's rows in Hz, ascending."""
    ratio = preprocessing.highest_frequency_hz / preprocessing.lowest_frequency_hz
    cells = np.arange(preprocessing.n_frequency + 1) / preprocessing.n_frequency
    return np.asarray(preprocessing.lowest_frequency_hz * ratio**cells)


def n_observed_rows(preprocessing: Preprocessing, top_hz: float) -> int:
    """Return how many of the view's rows end below the strain's highest usable frequency."""
    edges = frequency_edges_hz(preprocessing)
    return int(np.searchsorted(edges, top_hz * (1 + 1e-9), side="right")) - 1


def points_per_cell(preprocessing: Preprocessing, q: float) -> int:
    """Return how many samples of a wide cell give its mean within one per cent.

    More are needed where the plane's rows are closer together. Fewer would be enough for the
    spline, but not for the sharp edge that clipping makes in a loud glitch.
    """
    ratio = preprocessing.highest_frequency_hz / preprocessing.lowest_frequency_hz
    cell = math.log(ratio) / preprocessing.n_frequency
    row = 4 * math.sqrt(preprocessing.mismatch / 3) / math.sqrt(2 + q**2)
    return max(3, math.ceil(2 * cell / row))


@dataclass(frozen=True, eq=False)
class FrequencySamples:
    """Where the picture is sampled in frequency, and how a view's rows average the samples.

    Attributes:
        samples_hz: gwpy's samples every 0.5 Hz under the narrow rows, then a few points in each
            wider row.
        means: means of the rows over the samples.
    """

    samples_hz: Float64[np.ndarray, " sample"]
    means: Float64[np.ndarray, "row sample"]


def frequency_samples(
    preprocessing: Preprocessing, top_hz: float, n_points: int
) -> FrequencySamples:
    """Sample all rows of the view that end below ``top_hz``."""
    edges = frequency_edges_hz(preprocessing)[: n_observed_rows(preprocessing, top_hz) + 1]
    widths = np.diff(edges)
    n_narrow = int((widths < n_points * FREQUENCY_STEP_HZ).sum())
    stop = min(edges[n_narrow] + FREQUENCY_STEP_HZ + 1e-9, top_hz)
    narrow = np.arange(edges[0], stop, FREQUENCY_STEP_HZ)
    points = (np.arange(n_points) + 0.5) / n_points
    wide = edges[n_narrow:-1, None] + widths[n_narrow:, None] * points
    means = np.zeros((widths.size, narrow.size + wide.size))
    means[:n_narrow, : narrow.size] = cell_means(narrow, edges[: n_narrow + 1])
    means[n_narrow:, narrow.size :] = np.repeat(np.eye(len(wide)) / n_points, n_points, axis=1)
    return FrequencySamples(np.concatenate([narrow, wide.ravel()]), means)


def spline_across_rows(rows_hz: np.ndarray, samples_hz: np.ndarray) -> Matrix:
    """Return the matrix of the cubic spline through the rows' energies, as in gwpy.

    It is constant beyond the first and last row. It equals the not-a-knot spline of SciPy's
    ``make_interp_spline``, whose module costs each process 18 MB.
    """
    samples = np.clip(samples_hz, rows_hz[0], rows_hz[-1])
    if rows_hz.size <= 4:  # one polynomial through all rows
        differences = rows_hz[:, None] - rows_hz + np.eye(rows_hz.size)
        shares = (samples[:, None, None] - rows_hz) / differences  # (sample, row, other row)
        shares[:, np.arange(rows_hz.size), np.arange(rows_hz.size)] = 1
        return np.asarray(shares.prod(axis=2))
    steps = np.diff(rows_hz)
    interval = np.minimum(np.searchsorted(rows_hz, samples, side="right"), rows_hz.size - 1) - 1
    step, after = steps[interval], (samples - rows_hz[interval]) / steps[interval]
    before = 1 - after
    rows, seconds = np.eye(rows_hz.size), _second_derivatives(steps)
    curved = (before**3 - before)[:, None] * seconds[interval]
    curved += (after**3 - after)[:, None] * seconds[interval + 1]
    straight = before[:, None] * rows[interval] + after[:, None] * rows[interval + 1]
    return np.asarray(straight + curved * (step**2 / 6)[:, None])


def _second_derivatives(steps: np.ndarray) -> Matrix:
    """Return second derivatives at each row, for splines that are one at a single row."""
    n = steps.size + 1
    left, right, inner = steps[:-1], steps[1:], np.arange(1, n - 1)
    bends, values = np.zeros((n, n)), np.zeros((n, n))
    bends[inner, inner - 1], bends[inner, inner + 1] = left, right
    bends[inner, inner] = 2 * (left + right)
    values[inner, inner - 1], values[inner, inner + 1] = 6 / left, 6 / right
    values[inner, inner] = -6 / left - 6 / right
    # not-a-knot: equal third derivatives in the first two intervals
    bends[0, :3] = steps[1], -steps[0] - steps[1], steps[0]
    bends[-1, -3:] = steps[-1], -steps[-2] - steps[-1], steps[-2]
    return np.asarray(np.linalg.solve(bends, values))


def spline_moments(n: int) -> Matrix:
    """Return the matrix of second derivatives of the not-a-knot spline of ``n`` values.

    They are scaled by step squared over six, and solve ``m[k-1] + 4 m[k] + m[k+1] = e[k-1] - 2 e[k]
    + e[k+1]`` with the second derivative linear across the first two and the last two intervals.
    """
    second, bends, inner = np.zeros((n, n)), np.zeros((n, n)), np.arange(1, n - 1)
    second[inner, inner - 1], second[inner, inner], second[inner, inner + 1] = 1, -2, 1
    bends[inner, inner - 1], bends[inner, inner], bends[inner, inner + 1] = 1, 4, 1
    bends[0, :3] = bends[-1, -3:] = 1, -2, 1
    return np.asarray(np.linalg.solve(bends, second))


def moment_blocks(n_half: int, block: int) -> Matrix:
    """Return ``moment_taps`` as a matrix that acts on blocks: (block + 2 n_half, block)."""
    taps = moment_taps(n_half)
    matrix = np.zeros((block + 2 * n_half, block))
    for column in range(block):
        matrix[column : column + taps.size, column] = taps
    return matrix


def moment_taps(n_half: int) -> Float64[np.ndarray, " tap"]:
    """Return ``spline_moments`` far from the ends: a symmetric filter of ``2 n_half + 1`` taps."""
    pole = math.sqrt(3) - 2
    decay = pole ** np.abs(np.arange(-n_half, n_half + 1)) / (2 * math.sqrt(3))
    return np.asarray(np.convolve(decay, [1, -2, 1], mode="same"))
