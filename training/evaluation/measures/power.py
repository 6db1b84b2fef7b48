"""The number of paired runs needed to detect a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, nct, t

from glitch.errors import GlitchError

LEVEL = 0.05  # two-sided significance level: probability of a false positive
POWER = 0.8  # probability of detecting a true difference
_MAX_PAIRS = 1_000_000


@dataclass(frozen=True)
class Power:
    """The power of pairs of runs with equal seeds to detect a given difference."""

    difference: float  # to be detected
    n_pairs: int  # number of pairs for the estimate of the spread
    mean: float  # mean of the observed differences
    spread: float  # their standard deviation (n - 1)
    power_now: float  # probability that ``n_pairs`` detect the difference
    n_needed: int  # pairs that detect it with probability ``POWER``
    n_needed_low: int  # the same for the ends of the 95 % interval of the spread
    n_needed_high: int


def power_of_pairs(first: Sequence[float], second: Sequence[float], difference: float) -> Power:
    """Compute the power of a two-sided paired t-test of ``first - second`` (Cohen 1988, chapter 2).

    Args:
        first: a score of each seed's run.
        second: the score of the other contender's run with the same seed.
        difference: the true mean difference to detect, in the unit of the scores.

    Raises:
        GlitchError: if there are fewer than two pairs, all pairs differ by the same amount, or
            ``difference`` is not positive.
    """
    if len(first) != len(second) or len(first) < 2:
        raise GlitchError("Power needs at least two pairs of runs: a single one has no spread.")
    if not difference > 0:
        raise GlitchError(f"The difference to detect must be positive, but is {difference}.")
    gaps = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    n, spread = len(gaps), float(gaps.std(ddof=1))
    if spread == 0:
        raise GlitchError("All pairs differ by the same amount, so the power cannot be computed.")
    # The sum of squares over the variance is chi-square with n - 1 degrees of freedom.
    low, high = (spread * math.sqrt((n - 1) / chi2.ppf(share, n - 1)) for share in (0.975, 0.025))
    return Power(
        difference,
        n,
        float(gaps.mean()),
        spread,
        power_of(n, difference / spread),
        pairs_needed(difference / spread),
        pairs_needed(difference / low),
        pairs_needed(difference / high),
    )


def power_of(n_pairs: int, effect: float) -> float:
    """Compute the probability that a two-sided paired t-test at ``LEVEL`` detects a difference.

    Args:
        n_pairs: at least two.
        effect: the true mean difference over the standard deviation of the differences.
    """
    freedom, shift = n_pairs - 1, effect * math.sqrt(n_pairs)
    limit = t.ppf(1 - LEVEL / 2, freedom)
    return float(nct.sf(limit, freedom, shift) + nct.cdf(-limit, freedom, shift))


def pairs_needed(effect: float) -> int:
    """Find the least number of pairs that detect an effect with probability ``POWER``."""
    low, high = 1, 2
    while power_of(high, effect) < POWER:
        if high > _MAX_PAIRS:
            return _MAX_PAIRS
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle, effect) >= POWER else (middle, high)
    return high
