"""Whether the labels look like a fair sample of the known kinds.

Where only typical members of a class carry its label the others look new, and no p-value can tell:
it is exchangeability itself that fails. But then unlabelled glitches that lie amid labelled ones
are farther from the known than the labelled ones are. A rank test compares the two, kind by kind
(Wilcoxon 1945; the sum over strata of Lehmann 1975, section 3.3). New kinds do not move it: their
crowds are unlabelled, so they do not lie amid labelled ones. How many of its neighbours are
unlabelled depends on how many labels there are, so what counts as amid is taken from the labelled
ones of the kind. It finds a choice, proves none, and says nothing of kinds that no label names.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

USUAL = 0.9  # a glitch lies amid labelled ones where no more of its ten nearest are unlabelled
# than of this share of the labelled ones of its kind; three of ten always do, ten of ten never.
AMID_AT_LEAST, AMID_AT_MOST = 0.3, 0.9
SIGMAS = 2.0  # from which on it is said; by chance alone once in 40 times


class Slant(NamedTuple):
    """By how much unlabelled glitches lie farther from the known than labelled ones of a kind."""

    ranks: float = 0.0  # pairs in which they do, less what is expected of a fair sample
    variance: float = 0.0  # of that number, for a fair sample

    def plus(self, other: Slant) -> Slant:
        """Of both, which are independent: two detectors."""
        return Slant(self.ranks + other.ranks, self.variance + other.variance)

    @property
    def sigmas(self) -> float:
        """In standard deviations; above 0 where they lie farther, 0 where nothing compares."""
        return float(self.ranks / np.sqrt(self.variance)) if self.variance else 0.0


NO_SLANT = Slant()  # nothing compares


def slant_of(
    to_known: Float[np.ndarray, " glitch"],
    unlabelled: Float[np.ndarray, " glitch"],
    kinds: Int[np.ndarray, " glitch"],
    is_test: Bool[np.ndarray, " glitch"],
    calibrates: Bool[np.ndarray, " glitch"],
) -> Slant:
    """Tests against what calibrates them.

    Args:
        to_known: Cosine distance to the fifth nearest reference of another event.
        unlabelled: The share of unlabelled glitches among the ten nearest.
        kinds: A number for the class that each looks like.
        is_test: Which are tested, one of each burst.
        calibrates: Which calibrate.
    """
    found = NO_SLANT
    for kind in np.unique(kinds[calibrates]):
        of_kind = (kinds == kind) & np.isfinite(to_known)
        usual = np.quantile(unlabelled[(kinds == kind) & calibrates], USUAL)
        here = of_kind & (unlabelled <= np.clip(usual, AMID_AT_LEAST, AMID_AT_MOST))
        tests, known = to_known[here & is_test], np.sort(to_known[here & calibrates])
        n, m = len(tests), len(known)
        farther = sum(np.searchsorted(known, tests, side).sum() for side in ("left", "right")) / 2
        found = found.plus(Slant(farther - n * m / 2, n * m * (n + m + 1) / 12 if m else 0.0))
    return found
