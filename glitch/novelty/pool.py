"""All glitches of one detector and origin, and the joint test of the unlabelled ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.novelty.conformal import MIN_CALIBRATION, MIN_OF_RUN, directions
from glitch.novelty.crowds import Crowds, crowds_of
from glitch.novelty.episodes import Times
from glitch.novelty.fair_sample import NO_EXCESS, SelectionExcess, selection_excess
from glitch.novelty.kinds import Classes, kinds_of
from glitch.novelty.two_samples import NO_NEIGHBOUR_EXCESS, NeighbourExcess, neighbour_excess
from glitch.novelty.weighting import Scored, weighted_p_values
from glitch.observing_runs import observing_run
from glitch.types import LatentArray

UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Pool:
    """All glitches of one detector and origin."""

    means: LatentArray
    gps_times: Times
    is_reference: Bool[np.ndarray, " glitch"]
    classes: Classes  # UNLABELLED if there is no label
    conditions: Int[np.ndarray, " glitch"]  # a number for each (``glitch.novelty.conditions``)
    judged: Float[np.ndarray, " glitch"]  # score of the single test; NaN if it could not be tested
    calibration: Float[np.ndarray, " glitch"]  # calibration score; NaN if it does not calibrate


@dataclass(frozen=True, eq=False)
class PoolTests:
    """The unlabelled glitches of a pool, tested together."""

    places: Int[np.ndarray, " test"]  # positions in the pool, ascending
    scores: Float[np.ndarray, " test"]  # higher is more novel
    p_values: Float[np.ndarray, " test"]  # lower is more novel; NaN if it could not be tested
    weights: Float[np.ndarray, " test"]  # weight of each test, in (0, 1]
    predicted: Classes  # for every glitch of the pool: the class that it resembles
    is_sure: Bool[np.ndarray, " glitch"]  # whether most of its nearest references have it
    selection_excess: SelectionExcess = NO_EXCESS  # check whether the labels are a fair sample
    neighbour_excess: NeighbourExcess = (
        NO_NEIGHBOUR_EXCESS  # check whether glitches that look known resemble labelled ones
    )


def judge_pool(pool: Pool) -> PoolTests:
    """Test jointly every unlabelled glitch that could be tested alone.

    A glitch is compared with the calibration scores of its observing run if there are
    ``MIN_OF_RUN``, of which ``MIN_CALIBRATION`` were observed under its conditions; otherwise
    with those of all runs. If fewer than ``MIN_CALIBRATION`` of all runs were observed under its
    conditions, it is not tested.
    """
    is_test = (pool.classes == UNLABELLED) & np.isfinite(pool.judged)
    calibrates = np.isfinite(pool.calibration)
    tests, known = np.nonzero(is_test)[0], np.nonzero(calibrates)[0]
    units = directions(pool.means)
    predicted, is_sure, is_calibrated = kinds_of(
        units, pool.gps_times, pool.classes, pool.is_reference, calibrates
    )
    if not len(tests) or not len(known):
        unknown = np.full(len(tests), np.nan)
        return PoolTests(tests, unknown, unknown, np.ones(len(tests)), predicted, is_sure)
    crowds = crowds_of(units, pool.gps_times, pool.is_reference)
    to_known = np.where(calibrates, pool.calibration, pool.judged)
    scores = crowds.scores(to_known)
    kinds = np.unique(predicted, return_inverse=True)[1]
    p_values = np.full(len(tests), np.nan)
    runs = np.array([observing_run(time) or "" for time in pool.gps_times])
    known = known[np.isfinite(scores[known])]
    for run in np.unique(runs[tests]):
        known_of_run = known[runs[known] == run]
        own_run = [known_of_run] if run and len(known_of_run) >= MIN_OF_RUN else []
        for chosen in (*own_run, known):
            counts = np.bincount(pool.conditions[chosen], minlength=pool.conditions.max() + 1)
            is_enough = (counts >= MIN_CALIBRATION)[pool.conditions]
            is_judged = (runs[tests] == run) & is_enough[tests] & np.isnan(p_values)
            judged = np.nonzero(is_judged & np.isfinite(scores[tests]))[0]
            if len(judged):
                p_values[judged] = weighted_p_values(
                    _scored(pool, crowds, scores, kinds, tests[judged]),
                    _scored(pool, crowds, scores, kinds, chosen[is_enough[chosen]], weigh=False),
                )
    all_p_values = np.full(len(units), np.nan)
    all_p_values[tests] = p_values
    p_values = crowds.of_bursts(all_p_values)[tests]
    # Repeated glitches are left out on both sides; otherwise the remaining tests would be atypical.
    is_single = is_test & (crowds.weights == 1) & ~crowds.repeats
    is_fair = calibrates & ~crowds.repeats
    return PoolTests(
        tests,
        scores[tests],
        p_values,
        crowds.weights[tests],
        predicted,
        is_sure,
        selection_excess(
            to_known, crowds.unlabelled, kinds, is_single & is_calibrated, is_fair & is_calibrated
        ),
        neighbour_excess(
            units,
            pool.gps_times,
            to_known=to_known,
            kinds=kinds,
            conditions=pool.conditions,
            is_test=is_single,
            calibrates=is_fair,
        ),
    )


def _scored(
    pool: Pool,
    crowds: Crowds,
    scores: Float[np.ndarray, " glitch"],
    kinds: Int[np.ndarray, " glitch"],
    indices: Int[np.ndarray, " chosen"],
    *,
    weigh: bool = True,
) -> Scored:
    # Only one known glitch of an episode calibrates, so each has weight 1.
    weights = crowds.weights[indices] if weigh else np.ones(len(indices))
    return Scored(scores[indices], kinds[indices], pool.conditions[indices], weights)
