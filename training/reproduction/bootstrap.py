"""Confidence intervals of paired differences between runs of equal seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from glitch.errors import GlitchError
from training.evaluation.measures.interval import Interval

_MAX_EXACT = 6  # up to this number of seeds all resamples are enumerated


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    *,
    level: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Compute an interval of the mean of ``first - second`` by resampling pairs.

    With few seeds all resamples are enumerated, so the result is deterministic. Such an interval is
    narrow: three pairs of equal sign exclude zero, which by a sign test has a probability of 1/4.

    Raises:
        GlitchError: if the two have different lengths, or are empty.
    """
    if len(first) != len(second) or not len(first):
        raise GlitchError("A paired comparison needs the same seeds, at least one, on both sides.")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    n = differences.size
    if n <= _MAX_EXACT:
        drawn = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        drawn = np.random.default_rng(seed).integers(n, size=(n_resamples, n))
    means = differences[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(differences.mean()), float(low), float(high))
