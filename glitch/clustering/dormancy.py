"""Return of a class after a long absence.

Absence is counted in days with at least one glitch of the detector in the catalogue: breaks between
observing runs, and periods that nobody has loaded, do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.novelty import MIN_OF_CLASS
from glitch.novelty.pool import Pool

DAY_S = 86_400
AS_NEAR = 0.9  # quantile of a class's scores up to which an unlabelled glitch resembles it


@dataclass(frozen=True)
class Recurrence:
    """A class that occurs again."""

    silent_days: int  # days with data but without the class
    last_before: float  # GPS time of its last occurrence before the silence, s
    first_after: float  # GPS time of its first occurrence after it, s
    n_after: int  # occurrences since then


def days_with_data(gps_times: Float[np.ndarray, " glitch"]) -> Int[np.ndarray, " day"]:
    """List the days, counted from the GPS epoch, with at least one glitch; ascending.

    Args:
        gps_times: In s; NaN if not known.
    """
    timed = gps_times[np.isfinite(gps_times)]
    return np.unique(np.floor(timed / DAY_S).astype(np.int64))


def recurrence(
    occurrences: Float[np.ndarray, " glitch"], days: Int[np.ndarray, " day"], min_days: int
) -> Recurrence | None:
    """Find the latest return after an absence, if it is recent.

    Args:
        occurrences: GPS times of the occurrences, in s, in any order; NaN if not known.
        days: ``days_with_data`` of all glitches of the detector, these included.
        min_days: Number of days with data that make an absence. A return is recent if it is
            within the same number of the newest days with data.

    Returns:
        None if there was no such absence, or the return was not recent.
    """
    times = np.sort(occurrences[np.isfinite(occurrences)])
    indices = np.searchsorted(days, np.floor(times / DAY_S).astype(np.int64))
    silent = np.diff(indices) - 1
    breaks = np.nonzero(silent >= min_days)[0]
    if not len(breaks):
        return None
    last = int(breaks[-1])
    if len(days) - indices[last + 1] > min_days:
        return None
    return Recurrence(
        silent_days=int(silent[last]),
        last_before=float(times[last]),
        first_after=float(times[last + 1]),
        n_after=len(times) - last - 1,
    )


def recurrences_in(
    pool: Pool,
    predicted: Int[np.ndarray, " glitch"],
    is_sure: Bool[np.ndarray, " glitch"],
    min_days: int,
    min_glitches: int,
) -> dict[int, Recurrence]:
    """Find the classes of one detector that have returned, by id.

    A class occurs when a glitch is labelled with it, or when an unlabelled glitch resembles it:
    most of its nearest references have the class, and its novelty score is at most the 90 %
    quantile of the scores of the class.

    Args:
        pool: The glitches of the detector.
        predicted: The most frequent class id among the nearest references of each glitch.
        is_sure: Whether more than half of them have that class.
        min_days: Days with data and without the class that make an absence.
        min_glitches: Least number of unlabelled occurrences since then; fewer may be chance.
    """
    days = days_with_data(pool.gps_times)
    if len(days) <= min_days:
        return {}
    recurrences = {}
    is_unlabelled = pool.classes < 0
    for class_id in np.unique(pool.classes[np.isfinite(pool.calibration)]).tolist():
        of_class = pool.classes == class_id
        scores = pool.calibration[of_class & np.isfinite(pool.calibration)]
        if of_class.sum() < MIN_OF_CLASS:
            continue
        alike = is_unlabelled & is_sure & (predicted == class_id)
        alike &= pool.judged <= np.quantile(scores, AS_NEAR)
        gap = recurrence(pool.gps_times[of_class | alike], days, min_days)
        if gap is None or (pool.gps_times[alike] >= gap.first_after).sum() < min_glitches:
            continue
        if (pool.gps_times[of_class] <= gap.last_before).any():
            recurrences[class_id] = gap
    return recurrences
