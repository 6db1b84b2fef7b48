"""Missing samples of strain: NaN, infinities, and a value held for long.

Many tools write zeros, or the last value, where data were interrupted. Whitened, the step at either
end is louder than any glitch.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool

from glitch.types import StrainArray

_CHANCE = 1e-6  # that noise without a gap is taken to hold one


def is_missing(values: StrainArray) -> Bool[np.ndarray, " sample"]:
    """Where samples are NaN, infinite, or part of a run of equal values longer than chance makes.

    How long that is, the strain says itself. Neighbours are never equal in strain stored as floats:
    four equal samples are held ones. In a coarsely quantised channel they often are: runs count
    from a length that the share of equal neighbours makes unlikely in the whole stretch.

    Args:
        values: float64, 1-D.
    """
    missing = np.asarray(~np.isfinite(values), dtype=np.bool_)
    if values.size < 2:
        return missing
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1  # NaN differs from itself: runs of one
    if changes.size == values.size - 1:  # nothing is held, as in nearly all strain
        return missing
    starts = np.concatenate([[0], changes])
    lengths = np.diff(np.concatenate([starts, [values.size]]))
    least = _least_held(lengths, values.size)
    for start, length in zip(starts[lengths >= least], lengths[lengths >= least], strict=True):
        missing[start : start + length] = True
    return missing


def joined_overlap(first: StrainArray, second: StrainArray) -> StrainArray | None:
    """What two series hold of the same time: the first, and the second where that has no data.

    Args:
        first: float64, 1-D.
        second: as many samples of the same times.

    Returns:
        None where they differ by more than the rounding of a float of 32 bits.
    """
    lacking = is_missing(first)
    both = ~lacking & ~is_missing(second)
    if not np.allclose(first[both], second[both], rtol=1e-5, atol=0):
        return None
    return np.where(lacking, second, first)


def good_stretch(missing: Bool[np.ndarray, " sample"], at: int) -> tuple[int, int]:
    """First and last (exclusive) sample of the unbroken data around a sample; empty in a hole.

    Args:
        missing: as ``is_missing`` gives it.
        at: a sample.
    """
    if missing[at]:
        return at, at
    holes = np.flatnonzero(missing)
    after = int(np.searchsorted(holes, at))
    low = int(holes[after - 1]) + 1 if after else 0
    high = int(holes[after]) if after < holes.size else missing.size
    return low, high


def hole_around(missing: Bool[np.ndarray, " sample"], at: int) -> tuple[int, int]:
    """First and last (exclusive) sample of the gap around a missing sample."""
    return good_stretch(~missing, at)


def _least_held(lengths: np.ndarray, n_samples: int) -> float:
    """The shortest run that chance does not make: n with ``samples x share^(n-1) < 1e-6``."""
    share = ((lengths > 1).sum() + 1) / (lengths.size + 1)  # a gap counts once, however long
    if share >= 1:
        return math.inf if lengths.size > 1 else 1.0  # every sample repeated: a slower series
    return float(max(1 + math.log(_CHANCE / n_samples) / math.log(share), 2))
