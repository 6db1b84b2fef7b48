"""Return of a class after a long absence.

Absence is counted in days on which the catalogue holds any glitch of the detector: a break between
observing runs, or a stretch that nobody has loaded, is no absence of a class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from glitch.novelty import LEAST_OF_CLASS
from glitch.novelty.pool import Pool

DAY_S = 86_400
AS_NEAR = 0.9  # an unlabelled glitch is of a look if it is as near as this share of the class


@dataclass(frozen=True)
class Recurrence:
    """A class or look that occurs again."""

    silent_days: int  # with data and without the look
    last_before: float  # GPS time of its last occurrence before the silence, s
    first_after: float  # GPS time of its first occurrence after it, s
    n_after: int  # occurrences since then


def days_with_data(gps_times: Float[np.ndarray, " glitch"]) -> Int[np.ndarray, " day"]:
    """The days, counted from the GPS epoch, on which there is any glitch; ascending.

    Args:
        gps_times: In s; NaN where not known.
    """
    known = gps_times[np.isfinite(gps_times)]
    return np.unique(np.floor(known / DAY_S).astype(np.int64))


def recurrence(
    occurrences: Float[np.ndarray, " glitch"], days: Int[np.ndarray, " day"], least_days: int
) -> Recurrence | None:
    """The latest return of a look after a silence, if it is recent.

    Args:
        occurrences: GPS times at which it occurred, in s, in any order; NaN where not known.
        days: ``days_with_data`` of all glitches of the detector, these included.
        least_days: So many days with data make a silence; and a return is recent that lies within
            as many of the newest.

    Returns:
        None if it never fell silent, or came back longer ago than that.
    """
    times = np.sort(occurrences[np.isfinite(occurrences)])
    places = np.searchsorted(days, np.floor(times / DAY_S).astype(np.int64))
    silent = np.diff(places) - 1
    breaks = np.nonzero(silent >= least_days)[0]
    if not len(breaks):
        return None
    last = int(breaks[-1])
    if len(days) - places[last + 1] > least_days:
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
    least_days: int,
    least_glitches: int,
) -> dict[int, Recurrence]:
    """The classes of one detector that came back, by id.

    A class occurs when a glitch is labelled so, or when an unlabelled one resembles it: most of its
    nearest references are of the class, and it is as near to the known as nine in ten of the class.

    Args:
        pool: The glitches of the detector.
        predicted: The class id that most of the nearest references of each name.
        is_sure: Whether that is more than half of them.
        least_days: Days with data and without the class that make a silence.
        least_glitches: Unlabelled ones since then, fewer are chance.
    """
    days = days_with_data(pool.gps_times)
    if len(days) <= least_days:
        return {}
    found = {}
    is_unlabelled = pool.classes < 0
    for class_id in np.unique(pool.classes[np.isfinite(pool.calibration)]).tolist():
        mine = pool.classes == class_id
        own = pool.calibration[mine & np.isfinite(pool.calibration)]
        if mine.sum() < LEAST_OF_CLASS:
            continue
        alike = is_unlabelled & is_sure & (predicted == class_id)
        alike &= pool.judged <= np.quantile(own, AS_NEAR)
        back = recurrence(pool.gps_times[mine | alike], days, least_days)
        if back is None or (pool.gps_times[alike] >= back.first_after).sum() < least_glitches:
            continue
        if (pool.gps_times[mine] <= back.last_before).any():
            found[class_id] = back
    return found
