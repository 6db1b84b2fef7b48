"""Selection of discoveries among many tests: Benjamini-Hochberg for conformal p-values.

Among glitches flagged at a nominal false-discovery rate, the expected fraction of known classes is
at most that rate (Benjamini & Hochberg 1995). Conformal p-values that share one calibration split
are positively dependent, for which the procedure is valid (Benjamini & Yekutieli 2001; Bates,
Candes, Lei, Romano & Sesia 2023).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.errors import GlitchError


def check_fdr(fdr: float) -> float:
    """Validate a false-discovery rate and return it.

    Raises:
        GlitchError: if it is not strictly between 0 and 1.
    """
    if not (math.isfinite(fdr) and 0 < fdr < 1):
        raise GlitchError(
            f"A false-discovery rate must be between 0 and 1, both excluded, not {fdr:g}: "
            "usual values are 0.05 and 0.1."
        )
    return fdr


def benjamini_hochberg(
    p_values: Float[np.ndarray, " test"], fdr: float
) -> Bool[np.ndarray, " test"]:
    """Determine which tests are discoveries.

    Args:
        p_values: In [0, 1]; lower is more novel.
        fdr: The nominal false-discovery rate, in (0, 1).

    Raises:
        GlitchError: if the rate or a p-value is out of range.
    """
    values, counts = np.unique(p_values, return_counts=True)
    threshold = flagging_threshold(values, counts, fdr)
    if threshold is None:
        return np.zeros(len(p_values), dtype=np.bool_)
    flagged: Bool[np.ndarray, " test"] = p_values <= threshold
    return flagged


def flagging_threshold(
    p_values: Float[np.ndarray, " value"],
    counts: Int[np.ndarray, " value"] | Float[np.ndarray, " value"],
    fdr: float,
) -> float | None:
    """Return the largest p-value that Benjamini-Hochberg flags; None if it flags nothing.

    Conformal p-values take few different values, so a million tests are a short table.

    Args:
        p_values: The different p-values, ascending, in [0, 1].
        counts: The number of tests with each. Tests with weights below one, as those of a burst
            (``glitch.novelty.crowds``), count with their weights: the rate is then a weighted one
            (Benjamini & Hochberg 1997).
        fdr: The nominal false-discovery rate, in (0, 1).

    Raises:
        GlitchError: if the rate or a p-value is out of range, or they do not ascend.
    """
    check_fdr(fdr)
    if not len(p_values):
        return None
    # Written so that NaN fails too.
    if not (p_values[0] >= 0 and p_values[-1] <= 1 and bool((np.diff(p_values) > 0).all())):
        raise GlitchError("p-values must be between 0 and 1, and in ascending order.")
    ranks = np.cumsum(counts)
    passing = np.nonzero(p_values * ranks[-1] <= fdr * ranks)[0]
    return float(p_values[passing[-1]]) if len(passing) else None


# A cluster may be chance if known glitches alone give as many members with more than this
# probability.
MAY_BE_CHANCE = 0.01


def min_flaggable(n_tests: int, n_calibration: int, fdr: float) -> int:
    """Compute how many of the tests must be novel before any can be flagged.

    No conformal p-value is below 1 / (n_calibration + 1), so fewer discoveries than this cannot
    pass, however high their scores. More calibration glitches or a higher rate lower it.
    """
    return max(1, math.ceil(n_tests / ((n_calibration + 1) * check_fdr(fdr)) - 1e-9))


def chance_of_as_many(
    n_members: int, n_tests: int, n_calibration: int, p_threshold: float
) -> float:
    """Compute the probability that known classes alone put this many tests at or under the
    threshold.

    Exact: for exchangeable scores, the number of tests beyond the j-th largest of n calibration
    scores is beta-binomial with n_tests trials and parameters j and n + 1 - j.

    Args:
        n_members: Number of tests found there (a cluster's members); at least 1.
        n_tests: Number of tests.
        n_calibration: Number of calibration scores; at least 1.
        p_threshold: The largest p-value flagged, in (0, 1).

    Returns:
        In [0, 1]; lower is less likely to be chance. It is an upper bound for a cluster, because
        its members must also be similar.

    Raises:
        GlitchError: if the counts contradict each other.
    """
    if not 1 <= n_members <= n_tests or n_calibration < 1:
        raise GlitchError("A chance needs 1 <= n_members <= n_tests and a calibration score.")
    rank = math.floor(p_threshold * (n_calibration + 1) + 1e-9)
    if rank < 1:
        return 0.0
    if rank > n_calibration:
        return 1.0
    from scipy.stats import betabinom  # slow to import

    chance = betabinom.sf(n_members - 1, n_tests, rank, n_calibration + 1 - rank)
    return float(min(max(chance, 0.0), 1.0))
