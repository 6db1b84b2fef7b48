"""The Q tiling: which planes, rows, windows and sample times gwpy's Q-transform uses.

Written from the definitions of the Omega pipeline's transform as implemented in
``gwpy.signal.qtransform`` (Chatterji 2005; gwpy 4.1). Its rounding choices determine every tile:
row frequencies are rounded down to the transform's resolution, tile counts are powers of two, and a
window reads the spectrum one bin above the row's frequency. Tests compare each of them with gwpy
itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from glitch.views import Preprocessing


@dataclass(frozen=True)
class Row:
    """One row of tiles: a central frequency within a plane of constant Q.

    Attributes:
        frequency_hz: centre, a multiple of one over the segment's duration.
        n_tiles: energies in the row over the whole segment, a power of two.
        first_bin: first bin of the spectrum under the window.
        n_bins: width of the window in bins, odd.
    """

    frequency_hz: float
    n_tiles: int
    first_bin: int
    n_bins: int


@dataclass(frozen=True)
class Plane:
    """All rows of one Q, frequencies ascending."""

    q: float
    rows: tuple[Row, ...]


def plane_qs(preprocessing: Preprocessing) -> tuple[float, ...]:
    """Return the Q of each plane, ascending: four for Gravity Spy's recipe."""
    cumulative = math.log(preprocessing.highest_q / preprocessing.lowest_q) / math.sqrt(2)
    n_planes = max(math.ceil(cumulative / _mismatch_step(preprocessing)), 1)
    step = math.sqrt(2) * cumulative / n_planes
    return tuple(preprocessing.lowest_q * math.exp(step * (i + 0.5)) for i in range(n_planes))


def highest_frequency_hz(preprocessing: Preprocessing, sample_rate_hz: float) -> float:
    """Return the highest frequency in Hz that strain of this rate can show.

    The widest window (lowest Q) of a row must end below the Nyquist frequency, as in gwpy: 1291 Hz
    at 4096 Hz; the recipe's full 2048 Hz is reached from 6497 Hz on.
    """
    nyquist_hz = sample_rate_hz / 2
    limit_hz = nyquist_hz / (1 + math.sqrt(11) / plane_qs(preprocessing)[0])
    return min(preprocessing.highest_frequency_hz, limit_hz)


def tiling(
    preprocessing: Preprocessing, sample_rate_hz: float, duration_s: float
) -> tuple[Plane, ...]:
    """Return all planes for a segment of this rate and duration."""
    top_hz = highest_frequency_hz(preprocessing, sample_rate_hz)
    return tuple(
        Plane(q, _rows(q, preprocessing, top_hz, duration_s)) for q in plane_qs(preprocessing)
    )


def window(q: float, row: Row, duration_s: float) -> Float64[np.ndarray, " bin"]:
    """Return the bisquare window ``(1 - x^2)^2`` of a row over its bins.

    Its scale is omitted: every row is divided by its own median energy.
    """
    half = row.n_bins // 2
    return bisquare(q, row.frequency_hz, np.arange(-half, half + 1) / duration_s)


def bisquare(
    q: float, frequency_hz: float, offsets_hz: Float64[np.ndarray, " bin"]
) -> Float64[np.ndarray, " bin"]:
    """Return the window of a row at offsets from its centre, zero beyond its ends."""
    x = offsets_hz * _q_prime(q) / frequency_hz
    return np.asarray(np.maximum(1 - x**2, 0) ** 2, dtype=np.float64)


def bandwidth_hz(q: float, frequency_hz: float) -> float:
    """Return the bandwidth of a tile in Hz, as defined by gwpy: ``2 sqrt(pi) f / q``."""
    return 2 * math.sqrt(math.pi) * frequency_hz / q


def _rows(
    q: float, preprocessing: Preprocessing, top_hz: float, duration_s: float
) -> tuple[Row, ...]:
    low_hz = preprocessing.lowest_frequency_hz
    mismatch_step = _mismatch_step(preprocessing)
    root = math.sqrt(2 + q**2)
    cumulative = math.log(top_hz / low_hz) * root / 2
    n_rows = max(1, math.ceil(cumulative / mismatch_step))
    resolution_hz = 1 / duration_s
    rows: dict[float, Row] = {}
    for index in range(n_rows):
        exact_hz = low_hz * math.exp(2 / root * (index + 0.5) * cumulative / n_rows)
        frequency_hz = exact_hz // resolution_hz * resolution_hz
        half = int(frequency_hz / _q_prime(q) * duration_s)
        n_tiles = 2 ** math.ceil(
            math.log2(duration_s * 2 * math.pi * frequency_hz / q / mismatch_step)
        )
        # one bin above the row's frequency: gwpy's convention, kept so that energies agree
        first_bin = round(frequency_hz * duration_s) + 1 - half
        rows.setdefault(frequency_hz, Row(frequency_hz, n_tiles, first_bin, 2 * half + 1))
    return tuple(rows.values())


def _mismatch_step(preprocessing: Preprocessing) -> float:
    return 2 * math.sqrt(preprocessing.mismatch / 3)


def _q_prime(q: float) -> float:
    return q / math.sqrt(11)
