"""How novel glitches are in company: a crowd that no known class explains counts for more.

A glitch alone is judged by its distance to the known (``glitch.novelty``). Where many unlabelled
ones are at hand, more can be said: a new class is a place where unlabelled glitches are near each
other and the known are not. The score compares the two distances,

    (distance to the 5th nearest known) / (distance to the 5th nearest of all + 0.1)
        + share of unlabelled glitches among the 10 nearest of all
        + distance to the 5th nearest known,

which for a glitch without company grows with its distance alone. Known glitches are scored in the
same way, each without itself, and calibrate (Bates et al. 2023; Marandon, Lei, Mary & Roquain 2024
for scores that look at calibration and tests together). Measured in docs/science/discovery.md.

A crowd may also be a known class that has become more frequent since the labels were given. So
calibration scores are weighted: both sides are split into kinds by the class of the nearest known
glitches (``glitch.kinds``), and each kind counts as often as its ordinary glitches, those whose
p-value within the kind is above one half, say that it occurs now (Tibshirani et al. 2019; Storey
2002).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.nearest import nearest_among
from glitch.novelty import NEAREST, SAME_EVENT_S, Times
from glitch.types import LatentArray

COMPANY = 10
SOFTENING = 0.1  # cosine distance: crowds nearer to each other than this gain little more
ORDINARY = 0.5  # the p-value within its kind above which a glitch tells how frequent the kind is
_SPARE = 10  # neighbours sought beyond ``COMPANY``, in case some show the same event


def company_scores(
    units: LatentArray,
    gps_times: Times,
    is_known: Bool[np.ndarray, " glitch"],
    to_known: Float[np.ndarray, " glitch"],
) -> Float[np.ndarray, " glitch"]:
    """The score of each glitch among all of its detector and kind; higher is more novel.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN where not known. Pictures of one event are no company.
        is_known: Which are references.
        to_known: Cosine distance to the ``NEAREST``-th nearest reference, itself left out.

    Returns:
        Scores above 0; NaN where ``to_known`` is.
    """
    places, chords = nearest_among(units, COMPANY + _SPARE)
    if places.shape[1] < NEAREST:
        return np.full(len(units), np.nan)
    # Others of the same event go last, so that the first ones left are the nearest others.
    apart = np.abs(gps_times[places] - gps_times[:, None])
    order = np.argsort(np.nan_to_num(apart, nan=np.inf) <= SAME_EVENT_S, axis=1, kind="stable")
    places = np.take_along_axis(places, order, axis=1)[:, :COMPANY]
    chords = np.take_along_axis(chords, order, axis=1)[:, :COMPANY]
    to_any = chords[:, NEAREST - 1] ** 2 / 2
    unlabelled = np.mean(~is_known[places], axis=1)
    scores: Float[np.ndarray, " glitch"] = to_known / (to_any + SOFTENING) + unlabelled + to_known
    return scores


def weighted_p_values(
    scores: Float[np.ndarray, " test"],
    kinds: Int[np.ndarray, " test"],
    known_scores: Float[np.ndarray, " known"],
    known_kinds: Int[np.ndarray, " known"],
) -> Float[np.ndarray, " test"]:
    """Conformal p-values in (0, 1] against calibration scores weighted to the kinds of now.

    Args:
        scores: Of what is tested; higher is more novel.
        kinds: The kind each looks like, 0 and up.
        known_scores: Calibration scores, at least one.
        known_kinds: The kind each of them looks like.
    """
    n_kinds = int(max(kinds.max(initial=0), known_kinds.max())) + 1
    ordinary = np.zeros(n_kinds)
    for kind in np.unique(known_kinds):
        tested = scores[kinds == kind]
        p_values = _p_values(tested, known_scores[known_kinds == kind])
        ordinary[kind] = (1 + (p_values > ORDINARY).sum()) / (1 - ORDINARY)
    known = np.bincount(known_kinds, minlength=n_kinds) / len(known_kinds)
    is_there = known > 0
    weights = np.zeros(n_kinds)
    weights[is_there] = ordinary[is_there] / ordinary.sum() / known[is_there]
    weights[~is_there] = max(weights.max(), 1.0)  # nothing is known of it: least sure
    order = np.argsort(known_scores)
    above = np.append(np.cumsum(weights[known_kinds][order][::-1])[::-1], 0.0)
    own = weights[kinds]
    at = np.searchsorted(known_scores[order], scores, side="left")
    p_values_now: Float[np.ndarray, " test"] = np.minimum((above[at] + own) / (above[0] + own), 1.0)
    return p_values_now


def _p_values(
    scores: Float[np.ndarray, " test"], known_scores: Float[np.ndarray, " known"]
) -> Float[np.ndarray, " test"]:
    ascending = np.sort(known_scores)
    as_novel = len(ascending) - np.searchsorted(ascending, scores, side="left")
    return (1 + as_novel) / (len(ascending) + 1)
