"""What counts as one event: glitches of one burst, and copies of one image.

A detector repeats itself. One disturbance causes forty similar glitches within a minute, one source
may cause the same glitch every ten minutes for hours, and one image may be stored again under
another name. None of these is forty observations, so everything that novelty compares or counts is
taken between events, never within one.

Glitches within ``EPISODE_S`` of each other belong to one episode; those within ``STORM_S`` that
hardly differ are also one event. The time of a glitch without a time is unknown, so all that hardly
differ count as copies of one. For glitches with times the rule is the same for known and unknown
ones, so it does not affect validity, however long an episode is. Possible copies only make
calibration scores higher (docs/decisions/0009-a-flag-that-can-be-trusted.md).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.types import LatentArray

EPISODE_S = 120.0  # s; whatever happens within is of one episode
STORM_S = 86_400.0  # s; one source may repeat itself for hours
# Cosine distance. A picture shifted by four columns lies within 0.007 of itself in half of all
# cases; of one real glitch in ten another event lies within 0.01.
COPY_DISTANCE = 0.01
# Of the glitches of one stretch of ``EPISODE_S``, so many stand for all where a crowd is sought.
MOST_OF_EPISODE = 16
MOST_HEADS = 256  # of a day: so a day of any number takes linear time

Times = Float[np.ndarray, " glitch"]  # s; NaN where not known


def same_event(
    distances: Float[np.ndarray, ...],
    times: Float[np.ndarray, ...],
    others: Float[np.ndarray, ...],
    *,
    storm_s: float = STORM_S,
) -> Bool[np.ndarray, ...]:
    """Which pairs are of one episode, or may be one event again.

    Args:
        distances: Cosine distance of each pair.
        times: GPS time of one, s; NaN where not known.
        others: Of the other.
        storm_s: How long one source may repeat itself, s.
    """
    apart = np.abs(times - others)
    # Where a time is not known, the distance alone tells.
    return np.asarray((apart <= EPISODE_S) | ((distances <= COPY_DISTANCE) & ~(apart > storm_s)))


def one_an_episode(
    units: LatentArray, gps_times: Times, classes: Int[np.ndarray, " glitch"]
) -> Bool[np.ndarray, " glitch"]:
    """Whether each glitch stands for its episode among those of its class.

    In order of time the first stands, and none of its class within ``EPISODE_S`` after it; then
    those without a time, in the order given, unless they may be copies of one that stands. The
    choice looks at times and copies alone, never at how novel a glitch is.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN where not known.
        classes: A number for each class.
    """
    stands = np.zeros(len(units), dtype=np.bool_)
    for one in np.unique(classes):
        mine = np.nonzero(classes == one)[0]
        timed = mine[np.isfinite(gps_times[mine])]
        timed = timed[np.argsort(gps_times[timed], kind="stable")]
        last = -np.inf
        for place, time in zip(timed.tolist(), gps_times[timed].tolist(), strict=True):
            if time - last > EPISODE_S:
                stands[place] = True
                last = time
        untimed = mine[np.isnan(gps_times[mine])]
        if len(untimed):
            stands[untimed[~_repeats(units, untimed, np.nonzero(stands)[0])]] = True
    return stands


def _repeats(
    units: LatentArray, asked: Int[np.ndarray, " asked"], standing: Int[np.ndarray, " standing"]
) -> Bool[np.ndarray, " asked"]:
    """Which of them may be copies of one that stands, or of an earlier one of them that does."""
    is_copy = np.zeros(len(asked), dtype=np.bool_)
    if len(standing):
        block = max(1, (16 << 20) // len(standing))
        for start in range(0, len(asked), block):
            rows = slice(start, start + block)
            nearest = (units[asked[rows]] @ units[standing].T).max(axis=1)
            is_copy[rows] = nearest >= 1 - COPY_DISTANCE
    for at in range(len(asked)):
        if not is_copy[at]:
            alike = units[asked[at + 1 :]] @ units[asked[at]] >= 1 - COPY_DISTANCE
            is_copy[at + 1 :] |= alike
    return is_copy


def standing_for(units: LatentArray, gps_times: Times) -> Int[np.ndarray, " glitch"]:
    """The glitch that stands for each one where a crowd is sought; most stand for themselves.

    Of the glitches in one stretch of ``EPISODE_S`` at most ``MOST_OF_EPISODE`` stand, chosen as
    unlike each other as can be (farthest first: Gonzalez 1985), and each other one is stood for by
    the nearest of them. So a burst of any length takes linear time and a bounded crowd.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN where not known. Those without one stand for themselves.
    """
    stands = np.arange(len(units))
    timed = np.nonzero(np.isfinite(gps_times))[0]
    bins = np.floor(gps_times[timed] / EPISODE_S).astype(np.int64)
    order = np.argsort(bins, kind="stable")
    _, firsts, counts = np.unique(bins[order], return_index=True, return_counts=True)
    for at in np.nonzero(counts > MOST_OF_EPISODE)[0]:
        first, count = firsts[at], counts[at]
        members = timed[order[first : first + count]]
        stands[members] = members[_farthest_first(units[members])]
    return stands


def are_heads(units: LatentArray, gps_times: Times) -> Bool[np.ndarray, " glitch"]:
    """Which stand for what repeats them within their day, or where no time is known.

    Of a day's first ``MOST_HEADS`` in the order given each takes out what hardly differs from it,
    so a source that repeats itself thousands of times leaves few; the others stay.

    Args:
        units: Vectors of length one, float32, shape (glitch, latent).
        gps_times: In s; NaN where not known.
    """
    days = np.nan_to_num(np.floor(gps_times / STORM_S), nan=-1.0)
    stays = np.ones(len(units), dtype=np.bool_)
    order = np.argsort(days, kind="stable")
    for members in np.split(order, np.nonzero(np.diff(days[order]))[0] + 1):
        left = members
        for _ in range(MOST_HEADS):
            if len(left) < 2:
                break
            again = units[left] @ units[left[0]] >= 1 - COPY_DISTANCE
            again[0] = False
            stays[left[again]] = False
            left = left[1:][~again[1:]]
    return stays


def _farthest_first(units: LatentArray) -> Int[np.ndarray, " batch"]:
    """Which of the chosen ones stands for each."""
    nearest = units @ units[0]
    owner = np.zeros(len(units), dtype=np.int64)
    for _ in range(MOST_OF_EPISODE - 1):
        at = int(nearest.argmin())
        cosines = units @ units[at]
        is_nearer = cosines > nearest
        is_nearer[at] = True
        owner[is_nearer], nearest[is_nearer] = at, cosines[is_nearer]
    return owner
