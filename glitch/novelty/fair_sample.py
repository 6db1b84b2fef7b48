"""A check whether the labels are a fair sample of the known kinds.

If only typical members of a class are labelled, the others look new, and no p-value can show it,
because exchangeability itself fails. But then unlabelled glitches surrounded by labelled ones are
more often than by chance the farthest from the known of their kind. If one label in ten is missing,
only the farthest are affected. The farthest twentieth is therefore counted kind by kind, and the
counts are summed (hypergeometric; Mantel & Haenszel 1959). New kinds affect it little: their
neighbours are unlabelled, so they are not surrounded by labelled ones. The number of unlabelled
neighbours depends on the number of labels, so the threshold for "surrounded" is taken from the
labelled glitches of the kind.

The check can detect a selection but cannot exclude one, and does not cover kinds without labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

USUAL = 0.9  # a glitch lies amid labelled ones where no more of its ten nearest are unlabelled
# than of this share of the labelled ones of its kind; three of ten always do, ten of ten never.
AMID_AT_LEAST, AMID_AT_MOST = 0.3, 0.9
FARTHEST = 0.05  # of a kind, labelled or not
SIGMAS = 2.0  # from which on it is said; by chance alone once in 40 times


class SelectionExcess(NamedTuple):
    """How many more of those farthest from the known are unlabelled than of a fair sample."""

    more: float = 0.0
    variance: float = 0.0  # of that number, for a fair sample

    def plus(self, other: SelectionExcess) -> SelectionExcess:
        """Of both, which are independent: two detectors."""
        return SelectionExcess(self.more + other.more, self.variance + other.variance)

    @property
    def sigmas(self) -> float:
        """In standard deviations; above 0 where they are more, 0 where nothing compares."""
        return float(self.more / np.sqrt(self.variance)) if self.variance else 0.0


NO_EXCESS = SelectionExcess()  # nothing compares


def selection_excess(
    to_known: Float[np.ndarray, " glitch"],
    unlabelled: Float[np.ndarray, " glitch"],
    kinds: Int[np.ndarray, " glitch"],
    is_test: Bool[np.ndarray, " glitch"],
    calibrates: Bool[np.ndarray, " glitch"],
) -> SelectionExcess:
    """Tests against what calibrates them.

    Args:
        to_known: Cosine distance to the fifth nearest reference of another event.
        unlabelled: The share of unlabelled glitches among the ten nearest.
        kinds: A number for the class that each looks like.
        is_test: Which are tested, one of each burst, and look like no class of too few labels:
            what that one lacks is known, and said elsewhere.
        calibrates: Which calibrate, of the same.
    """
    found = NO_EXCESS
    for kind in np.unique(kinds[calibrates]):
        of_kind = (kinds == kind) & np.isfinite(to_known) & (is_test | calibrates)
        usual = np.quantile(unlabelled[(kinds == kind) & calibrates], USUAL)
        here = of_kind & (unlabelled <= np.clip(usual, AMID_AT_LEAST, AMID_AT_MOST))
        distances, tests = to_known[here], is_test[here]
        n, size = int(tests.sum()), len(tests)
        n_far = round(FARTHEST * size)
        if n_far and 0 < n < size:
            limit = np.partition(distances, size - n_far)[size - n_far]
            is_far, is_tied = (distances > limit).astype(float), distances == limit
            is_far[is_tied] = (n_far - is_far.sum()) / is_tied.sum()
            spread = ((is_far - n_far / size) ** 2).sum()
            more = float(is_far[tests].sum()) - n * n_far / size
            found = found.plus(
                SelectionExcess(more, n * (size - n) / (size * (size - 1)) * float(spread))
            )
    return found
