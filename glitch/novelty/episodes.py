"""What counts as one event: glitches of one burst, and copies of one image.

Detector noise repeats. One disturbance causes forty similar glitches within a minute, one source
may cause the same glitch every ten minutes for hours, and one image may be stored twice under
different names. None of these is forty observations, so all comparisons and counts for novelty are
between events, never within one.

Glitches within ``EPISODE_S`` of each other belong to one episode; nearly identical ones within
``STORM_S`` are also one event. Nearly identical glitches count as copies if the time of either is
unknown. For glitches with times the rule is the same for known and unknown ones, so it does not
affect validity, however long an episode is. Possible copies only make calibration scores higher
(docs/decisions/0009-a-flag-that-can-be-trusted.md).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.types import LatentArray

EPISODE_S = 120.0  # s; glitches closer in time are of one episode
STORM_S = 86_400.0  # s; one source may repeat itself for hours
# Cosine distance. For half of all pictures, a shift by four columns changes the vector by less than
# 0.007; one real glitch in ten has another event within 0.01.
COPY_DISTANCE = 0.01
# Representatives of one interval of ``EPISODE_S`` in the search for neighbours.
MAX_OF_EPISODE = 16
MAX_HEADS = 256  # heads of a day, so that the time is linear in the number of glitches

Times = Float[np.ndarray, " glitch"]  # s; NaN if not known


def same_event(
    distances: Float[np.ndarray, ...],
    times: Float[np.ndarray, ...],
    others: Float[np.ndarray, ...],
    *,
    storm_s: float = STORM_S,
) -> Bool[np.ndarray, ...]:
    """Determine which pairs are of one episode, or may be repetitions or copies of one event.

    Args:
        distances: Cosine distance of each pair.
        times: GPS time of the first glitch, s; NaN if not known.
        others: GPS time of the second.
        storm_s: How long one source may repeat itself, s.
    """
    apart = np.abs(times - others)
    # If a time is not known, the distance alone decides.
    return np.asarray((apart <= EPISODE_S) | ((distances <= COPY_DISTANCE) & ~(apart > storm_s)))


def one_per_episode(
    units: LatentArray, gps_times: Times, classes: Int[np.ndarray, " glitch"]
) -> Bool[np.ndarray, " glitch"]:
    """Select one representative of each episode and class.

    In order of time the first glitch of a class is selected, and the next of that class more than
    ``EPISODE_S`` after the last selected one. Then glitches without a time are added, in the order
    given, unless they may be copies of one already selected. The selection uses only times and
    copies, never novelty.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN if not known.
        classes: A number for each class.

    Returns:
        True for the selected glitches.
    """
    is_selected = np.zeros(len(units), dtype=np.bool_)
    for class_id in np.unique(classes):
        members = np.nonzero(classes == class_id)[0]
        timed = members[np.isfinite(gps_times[members])]
        timed = timed[np.argsort(gps_times[timed], kind="stable")]
        last = -np.inf
        for index, time in zip(timed.tolist(), gps_times[timed].tolist(), strict=True):
            if time - last > EPISODE_S:
                is_selected[index] = True
                last = time
        untimed = members[np.isnan(gps_times[members])]
        if len(untimed):
            is_selected[untimed[~_repeats(units, untimed, np.nonzero(is_selected)[0])]] = True
    return is_selected


def _repeats(
    units: LatentArray, queries: Int[np.ndarray, " asked"], chosen: Int[np.ndarray, " standing"]
) -> Bool[np.ndarray, " asked"]:
    """Whether each may be a copy of a selected glitch, or of an earlier one that is not a copy."""
    is_copy = np.zeros(len(queries), dtype=np.bool_)
    if len(chosen):
        block = max(1, (16 << 20) // len(chosen))
        for start in range(0, len(queries), block):
            rows = slice(start, start + block)
            nearest = (units[queries[rows]] @ units[chosen].T).max(axis=1)
            is_copy[rows] = nearest >= 1 - COPY_DISTANCE
    for at in range(len(queries)):
        if not is_copy[at]:
            is_near_copy = units[queries[at + 1 :]] @ units[queries[at]] >= 1 - COPY_DISTANCE
            is_copy[at + 1 :] |= is_near_copy
    return is_copy


def representatives_of(units: LatentArray, gps_times: Times) -> Int[np.ndarray, " glitch"]:
    """Find the representative of each glitch for the search of neighbours; most represent
    themselves.

    Each interval of ``EPISODE_S`` has at most ``MAX_OF_EPISODE`` representatives, chosen as
    dissimilar as possible (farthest first: Gonzalez 1985). Every other glitch is represented by the
    nearest of them. A burst of any length therefore takes linear time and adds few neighbours.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN if not known. Glitches without a time represent themselves.
    """
    representatives = np.arange(len(units))
    timed = np.nonzero(np.isfinite(gps_times))[0]
    bins = np.floor(gps_times[timed] / EPISODE_S).astype(np.int64)
    order = np.argsort(bins, kind="stable")
    _, firsts, counts = np.unique(bins[order], return_index=True, return_counts=True)
    for at in np.nonzero(counts > MAX_OF_EPISODE)[0]:
        first, count = firsts[at], counts[at]
        members = timed[order[first : first + count]]
        representatives[members] = members[_farthest_first(units[members])]
    return representatives


def are_heads(units: LatentArray, gps_times: Times) -> Bool[np.ndarray, " glitch"]:
    """Drop near-copies within a day, or among glitches without a time.

    The first ``MAX_HEADS`` remaining glitches of a day, in the order given, each remove later
    near-copies, so few remain of a source that repeats thousands of times.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN if not known.

    Returns:
        True for the glitches that remain.
    """
    days = np.nan_to_num(np.floor(gps_times / STORM_S), nan=-1.0)
    stays = np.ones(len(units), dtype=np.bool_)
    order = np.argsort(days, kind="stable")
    for members in np.split(order, np.nonzero(np.diff(days[order]))[0] + 1):
        remaining = members
        for _ in range(MAX_HEADS):
            if len(remaining) < 2:
                break
            is_copy = units[remaining] @ units[remaining[0]] >= 1 - COPY_DISTANCE
            is_copy[0] = False
            stays[remaining[is_copy]] = False
            remaining = remaining[1:][~is_copy[1:]]
    return stays


def _farthest_first(units: LatentArray) -> Int[np.ndarray, " batch"]:
    """Return the representative of each."""
    nearest = units @ units[0]
    owner = np.zeros(len(units), dtype=np.int64)
    for _ in range(MAX_OF_EPISODE - 1):
        at = int(nearest.argmin())
        cosines = units @ units[at]
        is_nearer = cosines > nearest
        is_nearer[at] = True
        owner[is_nearer], nearest[is_nearer] = at, cosines[is_nearer]
    return owner
