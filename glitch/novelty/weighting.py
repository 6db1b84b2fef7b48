"""Conformal p-values with calibration scores weighted by the frequencies among the tests.

The calibrating glitches were labelled at another time: their frequencies of classes, windows and
bands differ from those of the tested glitches. Both sides are therefore grouped by the class that
each glitch resembles (``glitch.novelty.kinds``) and by condition, the observed windows and band.
Each calibration score is weighted by the frequency of its class and condition among the tests
(Tibshirani et al. 2019).

This frequency is estimated from the ordinary glitches of a class: those whose p-value within it is
above one half, so that a new class assigned to it does not count (Storey 2002). A burst counts as
one glitch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

MIN_OF_GROUP = 5  # known glitches needed to find the ordinary ones among the tested
ORDINARY = 0.5  # glitches with a p-value within their group above this count towards its frequency


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores with the class that each glitch resembles and its condition."""

    scores: Float[np.ndarray, " glitch"]  # higher is more novel
    kinds: Int[np.ndarray, " glitch"]  # 0 and up
    conditions: Int[np.ndarray, " glitch"]  # 0 and up
    weights: Float[np.ndarray, " glitch"]  # in (0, 1]


def weighted_p_values(tested: Scored, known: Scored) -> Float[np.ndarray, " glitch"]:
    """Compute conformal p-values in (0, 1].

    Args:
        tested: The tests.
        known: The calibrating glitches, at least one.
    """
    by_kind = _weights_by(tested, tested.kinds, known, known.kinds, known.weights)
    counted = known.weights * by_kind.known
    by_condition = _weights_by(tested, tested.conditions, known, known.conditions, counted)
    weights = counted * by_condition.known
    own = by_kind.tested * by_condition.tested
    at_least, total = _sum_of_at_least(tested.scores, known.scores, weights)
    p_values: Float[np.ndarray, " glitch"] = np.minimum((at_least + own) / (total + own), 1.0)
    return p_values


@dataclass(frozen=True, eq=False)
class _Weights:
    """The weight of each glitch by the frequency of its group among the tests."""

    tested: Float[np.ndarray, " tested"]
    known: Float[np.ndarray, " known"]


def _weights_by(
    tested: Scored,
    groups: Int[np.ndarray, " tested"],
    known: Scored,
    known_groups: Int[np.ndarray, " known"],
    counted: Float[np.ndarray, " known"],
) -> _Weights:
    """Compute how much more frequent each group is among the tests than among the known.

    In a group with too few known glitches all tests are assumed to be ordinary, and get weights as
    if one known glitch represented the group; its known glitches get the weight of the most
    frequent group.
    """
    n_groups = int(max(groups.max(initial=0), known_groups.max())) + 1
    has_enough = np.bincount(known_groups, minlength=n_groups) >= MIN_OF_GROUP
    if not has_enough.any():
        return _Weights(np.ones(len(groups)), np.ones(len(known_groups)))
    ordinary = 1 + np.bincount(groups, weights=tested.weights, minlength=n_groups)
    for group in np.nonzero(has_enough)[0]:
        in_group, known_in_group = groups == group, known_groups == group
        mean_weight = float(counted[known_in_group].mean())
        at_least, total = _sum_of_at_least(
            tested.scores[in_group], known.scores[known_in_group], counted[known_in_group]
        )
        is_ordinary = (at_least + mean_weight) / (total + mean_weight) > ORDINARY
        ordinary[group] = (1 + tested.weights[in_group][is_ordinary].sum()) / (1 - ORDINARY)
    expected = np.bincount(known_groups, weights=counted, minlength=n_groups)
    expected[~has_enough] = 1.0
    rate = ordinary[has_enough].sum() / expected[has_enough].sum()
    weights = ordinary / expected / rate
    most = float(weights[has_enough].max())
    return _Weights(
        np.where(has_enough[groups], weights[groups], np.maximum(weights[groups], most)),
        np.where(has_enough[known_groups], weights[known_groups], most),
    )


def _sum_of_at_least(
    scores: Float[np.ndarray, " asked"],
    known_scores: Float[np.ndarray, " known"],
    weights: Float[np.ndarray, " known"],
) -> tuple[Float[np.ndarray, " asked"], float]:
    """Return the total weight of the known scores at least as high as each, and of all of them."""
    order = np.argsort(known_scores, kind="stable")
    above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    at = np.searchsorted(known_scores[order], scores, side="left")
    return above[at], float(above[0])
