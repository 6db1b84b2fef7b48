"""A check whether unlabelled glitches that look known resemble the labelled ones of their kind.

A test of distances from the known (``glitch.novelty.fair_sample``) detects atypical glitches. It
does not detect glitches that lie among each other, away from the labelled ones: fainter than any
that is labelled, drawn by another tool, from another time. The two groups are therefore compared by
neighbours (Schilling 1986; Henze 1988). Among glitches that resemble one kind, and are no farther
from the known than usual for it, unlabelled glitches should have the expected number of unlabelled
ones among their nearest. An excess shows that something separates them, whatever it is. Glitches
far from the known are excluded on both sides, and with them most of a new kind.

Glitches of one event are similar in any case, so they are not counted as neighbours. The windows
and band also separate glitches and are accounted for elsewhere, so labels are exchanged only
between glitches of the same condition.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.novelty.episodes import Times, same_event
from glitch.types import LatentArray

NEIGHBOURS = 5
USUAL = 0.9  # compared are those no farther from the known than this share of the labelled ones
LEAST_OF_SIDE = 5  # glitches of a kind on either side: fewer say nothing
MOST_OF_SIDE = 500  # of a kind: every so many-th of more
# From where on it is said: in standard deviations of chance, and as a share of neighbours. In a
# large catalogue the least difference is none of chance, and does no harm.
SIGMAS, EXCESS = 3.0, 0.05
_N_EXCHANGES, _SEED = 200, 19_860_901


class NeighbourExcess(NamedTuple):
    """How many more of the neighbours of unlabelled glitches are unlabelled than of chance."""

    more: float = 0.0  # neighbours
    variance: float = 0.0  # of that number, by chance alone
    n: float = 0.0  # neighbours in all

    def plus(self, other: NeighbourExcess) -> NeighbourExcess:
        """Of both, which are independent."""
        return NeighbourExcess(*np.add(self, other).tolist())

    @property
    def excess(self) -> float:
        """As a share of all their neighbours, -1 to 1."""
        return self.more / self.n if self.n else 0.0

    @property
    def is_told(self) -> bool:
        """Whether it is more than chance, and enough to matter."""
        return self.excess >= EXCESS and self.more >= SIGMAS * math.sqrt(self.variance)


NO_NEIGHBOUR_EXCESS = NeighbourExcess()  # nothing compares


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
    """Tests against what calibrates them, kind by kind.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN where not known.
        to_known: Cosine distance to the fifth nearest reference of another event.
        kinds: A number for the class that each looks like.
        conditions: A number for the windows and band of each.
        is_test: Which are tested, one of each burst.
        calibrates: Which calibrate.
    """
    rng = np.random.default_rng(_SEED)  # the same catalogue, the same answer
    found = NO_NEIGHBOUR_EXCESS
    for kind in np.unique(kinds[calibrates]):
        known = np.nonzero((kinds == kind) & calibrates & np.isfinite(to_known))[0]
        usual = np.quantile(to_known[known], USUAL) if len(known) else -np.inf
        tests = np.nonzero((kinds == kind) & is_test & (to_known <= usual))[0]
        known = known[to_known[known] <= usual]
        if min(len(tests), len(known)) >= LEAST_OF_SIDE:
            # In no order of sides: of glitches that are equally near the first are taken.
            here = rng.permutation(np.concatenate([_thinned(tests), _thinned(known)]))
            near, is_there = _neighbours(units[here], gps_times[here])
            found = found.plus(_compare(is_test[here], near, is_there, conditions[here], rng))
    return found


def _thinned(places: Int[np.ndarray, " side"]) -> Int[np.ndarray, " kept"]:
    return places[:: max(1, -(-len(places) // MOST_OF_SIDE))]


def _neighbours(
    units: LatentArray, gps_times: Times
) -> tuple[Int[np.ndarray, "glitch near"], Bool[np.ndarray, "glitch near"]]:
    """The nearest of other events, and whether each is one."""
    distances = 1 - units @ units.T
    distances[same_event(distances, gps_times[:, None], gps_times[None])] = np.inf
    np.fill_diagonal(distances, np.inf)
    near = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    return near, np.isfinite(np.take_along_axis(distances, near, axis=1))


def _compare(
    is_test: Bool[np.ndarray, " glitch"],
    near: Int[np.ndarray, "glitch near"],
    is_there: Bool[np.ndarray, "glitch near"],
    conditions: Int[np.ndarray, " glitch"],
    rng: np.random.Generator,
) -> NeighbourExcess:
    """Against labels exchanged among glitches of one condition."""
    in_order = np.argsort(conditions, kind="stable")
    drawn = np.argsort(conditions + rng.random((_N_EXCHANGES, len(conditions))), axis=1)
    exchanged = np.empty(drawn.shape, dtype=np.bool_)
    exchanged[:, in_order] = is_test[drawn]
    by_chance = _n_alike(exchanged, near, is_there)
    more = _n_alike(is_test[None], near, is_there)[0] - by_chance.mean()
    return NeighbourExcess(float(more), float(by_chance.var()), float(is_there[is_test].sum()))


def _n_alike(
    is_test: Bool[np.ndarray, "draw glitch"],
    near: Int[np.ndarray, "glitch near"],
    is_there: Bool[np.ndarray, "glitch near"],
) -> Int[np.ndarray, " draw"]:
    """How many neighbours of tests are tests."""
    counts: Int[np.ndarray, " draw"] = sum(
        (is_test & is_test[:, near[:, rank]] & is_there[:, rank]).sum(axis=1)
        for rank in range(near.shape[1])
    )
    return counts
