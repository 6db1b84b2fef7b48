"""A check whether unlabelled glitches that look known resemble the labelled ones of their class.

A test of distances from the known ones (``glitch.novelty.fair_sample``) detects atypical glitches.
It does not detect glitches that are close to each other but away from the labelled ones: fainter
than any labelled one, plotted by another tool, or from another time. The two groups are therefore
compared by neighbours (Schilling 1986; Henze 1988). Among glitches that resemble one class, and are
no farther from the known than usual for it, unlabelled glitches should have the expected number of
unlabelled ones among their nearest. An excess shows that some difference separates the groups.
Glitches far from the known are excluded on both sides, and with them most of a new class.

Glitches of one event are similar in any case, so they are not counted as neighbours. Windows and
band also separate glitches and are accounted for elsewhere, so labels are permuted only between
glitches of the same condition.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.novelty.episodes import Times, same_event
from glitch.types import LatentArray

NEIGHBOURS = 5
USUAL = 0.9  # quantile of the distances of labelled glitches up to which glitches are compared
MIN_OF_SIDE = 5  # glitches of a class needed on either side
MAX_OF_SIDE = 500  # glitches of a class on either side; larger groups are thinned regularly
# An excess is reported from this many standard deviations and this fraction of neighbours. In a
# large catalogue even a tiny, harmless difference is significant.
SIGMAS, EXCESS = 3.0, 0.05
_N_EXCHANGES, _SEED = 200, 19_860_901


class NeighbourExcess(NamedTuple):
    """Excess of unlabelled glitches among the neighbours of unlabelled ones, over chance."""

    n_excess: float = 0.0  # neighbours
    variance: float = 0.0  # variance of that number under permutation
    n: float = 0.0  # total number of neighbours

    def plus(self, other: NeighbourExcess) -> NeighbourExcess:
        """Add two independent excesses."""
        return NeighbourExcess(*np.add(self, other).tolist())

    @property
    def excess(self) -> float:
        """The excess as a fraction of all their neighbours, -1 to 1."""
        return self.n_excess / self.n if self.n else 0.0

    @property
    def is_significant(self) -> bool:
        """Whether the excess is significant and large enough to matter."""
        return self.excess >= EXCESS and self.n_excess >= SIGMAS * math.sqrt(self.variance)


NO_NEIGHBOUR_EXCESS = NeighbourExcess()  # nothing to compare


def neighbour_excess(
    units: LatentArray,
    gps_times: Times,
    *,
    to_known: Float[np.ndarray, " glitch"],
    kinds: Int[np.ndarray, " glitch"],
    conditions: Int[np.ndarray, " glitch"],
    is_test: Bool[np.ndarray, " glitch"],
    calibrates: Bool[np.ndarray, " glitch"],
) -> NeighbourExcess:
    """Compare the tests with the glitches that calibrate them, class by class.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN if not known.
        to_known: Cosine distance to the fifth nearest reference of another event.
        kinds: A number for the class that each resembles.
        conditions: A number for the windows and band of each.
        is_test: The tests, one of each burst.
        calibrates: The calibrating glitches.
    """
    rng = np.random.default_rng(_SEED)  # fixed seed: the result is reproducible
    total = NO_NEIGHBOUR_EXCESS
    for kind in np.unique(kinds[calibrates]):
        known = np.nonzero((kinds == kind) & calibrates & np.isfinite(to_known))[0]
        usual = np.quantile(to_known[known], USUAL) if len(known) else -np.inf
        tests = np.nonzero((kinds == kind) & is_test & (to_known <= usual))[0]
        known = known[to_known[known] <= usual]
        if min(len(tests), len(known)) >= MIN_OF_SIDE:
            # Shuffled, because ties in distance go to the first.
            mixed = rng.permutation(np.concatenate([_thinned(tests), _thinned(known)]))
            nearest, exists = _neighbours(units[mixed], gps_times[mixed])
            total = total.plus(_compare(is_test[mixed], nearest, exists, conditions[mixed], rng))
    return total


def _thinned(indices: Int[np.ndarray, " side"]) -> Int[np.ndarray, " kept"]:
    return indices[:: max(1, -(-len(indices) // MAX_OF_SIDE))]


def _neighbours(
    units: LatentArray, gps_times: Times
) -> tuple[Int[np.ndarray, "glitch near"], Bool[np.ndarray, "glitch near"]]:
    """Find the nearest glitches of other events, and whether each neighbour exists."""
    distances = 1 - units @ units.T
    distances[same_event(distances, gps_times[:, None], gps_times[None])] = np.inf
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    return nearest, np.isfinite(np.take_along_axis(distances, nearest, axis=1))


def _compare(
    is_test: Bool[np.ndarray, " glitch"],
    nearest: Int[np.ndarray, "glitch near"],
    exists: Bool[np.ndarray, "glitch near"],
    conditions: Int[np.ndarray, " glitch"],
    rng: np.random.Generator,
) -> NeighbourExcess:
    """Compare with permutations of the labels among glitches of one condition."""
    in_order = np.argsort(conditions, kind="stable")
    drawn = np.argsort(conditions + rng.random((_N_EXCHANGES, len(conditions))), axis=1)
    exchanged = np.empty(drawn.shape, dtype=np.bool_)
    exchanged[:, in_order] = is_test[drawn]
    permuted = _n_alike(exchanged, nearest, exists)
    excess = _n_alike(is_test[None], nearest, exists)[0] - permuted.mean()
    return NeighbourExcess(float(excess), float(permuted.var()), float(exists[is_test].sum()))


def _n_alike(
    is_test: Bool[np.ndarray, "draw glitch"],
    nearest: Int[np.ndarray, "glitch near"],
    exists: Bool[np.ndarray, "glitch near"],
) -> Int[np.ndarray, " draw"]:
    """Count the neighbours of tests that are tests."""
    counts: Int[np.ndarray, " draw"] = sum(
        (is_test & is_test[:, nearest[:, rank]] & exists[:, rank]).sum(axis=1)
        for rank in range(nearest.shape[1])
    )
    return counts
