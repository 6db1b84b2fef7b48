"""Whether a look came back after it had not occurred for long.

Silence is counted in days on which the catalogue holds any glitch of the detector: a break between
observing runs, or a stretch that nobody has loaded, is no absence of one class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

DAY_S = 86_400


@dataclass(frozen=True)
class Comeback:
    """A look that occurs again."""

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


def comeback(
    occurrences: Float[np.ndarray, " glitch"], days: Int[np.ndarray, " day"], least_days: int
) -> Comeback | None:
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
    return Comeback(
        silent_days=int(silent[last]),
        last_before=float(times[last]),
        first_after=float(times[last + 1]),
        n_after=len(times) - last - 1,
    )
