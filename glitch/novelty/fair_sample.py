"""A check whether the labels are a fair sample of the known classes.

If only typical members of a class are labelled, the others look new, and no p-value can show it,
because exchangeability itself fails. But then unlabelled glitches surrounded by labelled ones are
more often than by chance the farthest from the known ones of their class. If one label in ten is
missing, only the farthest are affected. The farthest twentieth is therefore counted class by class,
and the counts are summed (hypergeometric; Mantel & Haenszel 1959). New classes affect it little:
their neighbours are unlabelled, so they are not surrounded by labelled ones. The number of
unlabelled neighbours depends on the number of labels, so the threshold for "surrounded" is taken
from the labelled glitches of the class.

The check can detect a selection but cannot exclude one, and does not cover classes without labels.
The class of an unlabelled glitch is the one that it resembles (``glitch.novelty.kinds``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

# A glitch is surrounded by labelled ones if the unlabelled fraction of its ten nearest is at most
# the USUAL quantile of that fraction among the labelled glitches of its class, limited to this
# range.
USUAL = 0.9
MIN_AMID, MAX_AMID = 0.3, 0.9
FARTHEST = 0.05  # of a class, labelled or not
SIGMAS = 2.0  # reported from here on; by chance alone once in 40 times


class SelectionExcess(NamedTuple):
    """Excess of unlabelled glitches among the farthest from the known, over a fair sample."""

    n_excess: float = 0.0
    variance: float = 0.0  # variance of that number, for a fair sample

    def plus(self, other: SelectionExcess) -> SelectionExcess:
        """Add two independent excesses, such as those of two detectors."""
        return SelectionExcess(self.n_excess + other.n_excess, self.variance + other.variance)

    @property
    def sigmas(self) -> float:
        """The excess in standard deviations; 0 if nothing could be compared."""
        return float(self.n_excess / np.sqrt(self.variance)) if self.variance else 0.0


NO_EXCESS = SelectionExcess()  # nothing to compare


def selection_excess(
    to_known: Float[np.ndarray, " glitch"],
    unlabelled: Float[np.ndarray, " glitch"],
    kinds: Int[np.ndarray, " glitch"],
    is_test: Bool[np.ndarray, " glitch"],
    calibrates: Bool[np.ndarray, " glitch"],
) -> SelectionExcess:
    """Compare the tests with the glitches that calibrate them.

    Args:
        to_known: Cosine distance to the fifth nearest reference of another event.
        unlabelled: Fraction of unlabelled glitches among the ten nearest.
        kinds: A number for the class that each resembles.
        is_test: The tests, one of each burst, without those that resemble a class with too few
            labels (those are reported elsewhere).
        calibrates: The calibrating glitches, selected in the same way.
    """
    excess = NO_EXCESS
    for kind in np.unique(kinds[calibrates]):
        of_kind = (kinds == kind) & np.isfinite(to_known) & (is_test | calibrates)
        limit_share = np.quantile(unlabelled[(kinds == kind) & calibrates], USUAL)
        is_compared = of_kind & (unlabelled <= np.clip(limit_share, MIN_AMID, MAX_AMID))
        distances, tests = to_known[is_compared], is_test[is_compared]
        n, size = int(tests.sum()), len(tests)
        n_far = round(FARTHEST * size)
        if n_far and 0 < n < size:
            limit = np.partition(distances, size - n_far)[size - n_far]
            is_far, is_tied = (distances > limit).astype(float), distances == limit
            is_far[is_tied] = (n_far - is_far.sum()) / is_tied.sum()
            spread = ((is_far - n_far / size) ** 2).sum()
            difference = float(is_far[tests].sum()) - n * n_far / size
            excess = excess.plus(
                SelectionExcess(difference, n * (size - n) / (size * (size - 1)) * float(spread))
            )
    return excess
