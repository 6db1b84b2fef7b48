"""p-values with calibration scores weighted by the frequencies among the tests.

Calibrating glitches were labelled at another time: their frequencies of classes, windows and bands
differ from those of the tested glitches. Both sides are therefore divided into kinds, by the class
of the nearest known glitches (``glitch.novelty.kinds``), and into conditions, by the windows and
the band in which they were seen. Each calibration score counts as often as its kind and its
condition occur among the tests (Tibshirani et al. 2019).

This frequency is estimated from the ordinary glitches of a kind: those whose p-value within it is
above one half, so that a new class assigned to that kind does not count (Storey 2002). A burst
counts as one glitch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

LEAST_OF_GROUP = 5  # known glitches; fewer cannot tell which of the tested are ordinary
ORDINARY = 0.5  # the p-value within its group above which a glitch tells how frequent the group is


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores with what each glitch looks like and how it was seen."""

    scores: Float[np.ndarray, " glitch"]  # higher is more novel
    kinds: Int[np.ndarray, " glitch"]  # 0 and up
    conditions: Int[np.ndarray, " glitch"]  # 0 and up
    weights: Float[np.ndarray, " glitch"]  # in (0, 1]: what each counts for


def weighted_p_values(tested: Scored, known: Scored) -> Float[np.ndarray, " glitch"]:
    """Conformal p-values in (0, 1] of what is tested.

    Args:
        tested: What is tested.
        known: What calibrates, at least one.
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
    """What each glitch weighs by how frequent its group is now."""

    tested: Float[np.ndarray, " tested"]
    known: Float[np.ndarray, " known"]


def _weights_by(
    tested: Scored,
    groups: Int[np.ndarray, " tested"],
    known: Scored,
    known_groups: Int[np.ndarray, " known"],
    counted: Float[np.ndarray, " known"],
) -> _Weights:
    """How much oftener each group occurs among the tested than among the known as counted.

    Where too few known ones are there to tell, the tested may all be ordinary, and weigh as if one
    known glitch stood for all of them; the known ones weigh as those of the most frequent group.
    """
    n_groups = int(max(groups.max(initial=0), known_groups.max())) + 1
    is_told = np.bincount(known_groups, minlength=n_groups) >= LEAST_OF_GROUP
    if not is_told.any():
        return _Weights(np.ones(len(groups)), np.ones(len(known_groups)))
    ordinary = 1 + np.bincount(groups, weights=tested.weights, minlength=n_groups)
    for group in np.nonzero(is_told)[0]:
        mine, theirs = groups == group, known_groups == group
        own = float(counted[theirs].mean())
        at_least, total = _sum_of_at_least(
            tested.scores[mine], known.scores[theirs], counted[theirs]
        )
        is_ordinary = (at_least + own) / (total + own) > ORDINARY
        ordinary[group] = (1 + tested.weights[mine][is_ordinary].sum()) / (1 - ORDINARY)
    expected = np.bincount(known_groups, weights=counted, minlength=n_groups)
    expected[~is_told] = 1.0
    rate = ordinary[is_told].sum() / expected[is_told].sum()
    weights = ordinary / expected / rate
    most = float(weights[is_told].max())
    return _Weights(
        np.where(is_told[groups], weights[groups], np.maximum(weights[groups], most)),
        np.where(is_told[known_groups], weights[known_groups], most),
    )


def _sum_of_at_least(
    scores: Float[np.ndarray, " asked"],
    known_scores: Float[np.ndarray, " known"],
    weights: Float[np.ndarray, " known"],
) -> tuple[Float[np.ndarray, " asked"], float]:
    """What the known scores at least as high as each count together, and what all do."""
    order = np.argsort(known_scores, kind="stable")
    above = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    at = np.searchsorted(known_scores[order], scores, side="left")
    return above[at], float(above[0])
