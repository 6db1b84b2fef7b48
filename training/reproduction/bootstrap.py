"""Confidence intervals of paired differences between runs of equal seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glitch.errors import GlitchError

_MOST_EXACT = 6  # up to so many seeds every resample is counted instead of drawn


@dataclass(frozen=True)
class Interval:
    """Mean paired difference and its percentile bootstrap interval."""

    mean: float
    low: float
    high: float
    n_pairs: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0

    def text(self, digits: int) -> str:
        """Mean and interval, signed, with so many decimals."""
        mean, low, high = (f"{x:+.{digits}f}" for x in (self.mean, self.low, self.high))
        return f"{mean} [{low}, {high}]"


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    *,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Interval of the mean of ``first - second``, resampling pairs.

    With few seeds all resamples are enumerated, so nothing is random. Such an interval is narrow:
    three pairs that agree in sign exclude zero, which by a sign test has one chance in four.

    Raises:
        GlitchError: if the two are not of one length, or empty.
    """
    if len(first) != len(second) or not len(first):
        raise GlitchError("A paired comparison needs the same seeds, at least one, on both sides.")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    n = differences.size
    if n <= _MOST_EXACT:
        drawn = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        drawn = np.random.default_rng(seed).integers(n, size=(n_resamples, n))
    means = differences[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(differences.mean()), float(low), float(high), n)
