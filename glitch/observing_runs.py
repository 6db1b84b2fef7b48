"""Observing runs, and the breaks between them, by GPS time.

Novelty is computed within a run, and for this purpose every time belongs to a run: detectors change
more between runs than within them, and engineering runs use the configuration of the next run, so
times between two runs belong to the later one. Where people read or select times, breaks are listed
separately: an *era* is a run, or the time before, between or after runs.

Source: the run boundaries that GWOSC publishes (https://gwosc.org/timeline/).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from decimal import Decimal
from itertools import pairwise

# Start and end of each run in GPS seconds. Breaks of a few weeks within O4 belong to O4.
_RUNS: tuple[tuple[str, float, float], ...] = (
    ("O1", 1_126_051_217, 1_137_254_417),
    ("O2", 1_164_556_817, 1_187_733_618),
    ("O3a", 1_238_166_018, 1_253_977_218),
    ("O3b", 1_256_655_618, 1_269_363_618),
    ("O4", 1_368_975_618, 1_447_516_818),
)
_NAMES = tuple(name for name, _, _ in _RUNS)
_LAST = "since O4"
OBSERVING_RUNS: tuple[str, ...] = (*_NAMES, _LAST)
# The end of each but the last.
RUN_ENDS_S: tuple[float, ...] = tuple(float(end) for _, _, end in _RUNS)

_BREAKS = ("before O1", *(f"between {one} and {next_}" for one, next_ in pairwise(_NAMES)))
ERAS: tuple[str, ...] = (
    *(era for both in zip(_BREAKS, _NAMES, strict=True) for era in both),
    _LAST,
)
# The end of each era but the last; the next one starts there.
ERA_ENDS_S: tuple[float, ...] = tuple(float(end) for _, *ends in _RUNS for end in ends)


def observing_run(gps_time: Decimal | float | None) -> str | None:
    """Return the run that a time belongs to for novelty, one of ``OBSERVING_RUNS``.

    Args:
        gps_time: GPS time in s; None if not known.

    Returns:
        The run's name; None only if there is no time.
    """
    return _name_at(gps_time, OBSERVING_RUNS, RUN_ENDS_S)


def era(gps_time: Decimal | float | None) -> str | None:
    """Return the run of a time, or the break between two runs: one of ``ERAS``.

    Args:
        gps_time: GPS time in s; None if not known.

    Returns:
        The era's name; None only if there is no time.
    """
    return _name_at(gps_time, ERAS, ERA_ENDS_S)


def _name_at(
    gps_time: Decimal | float | None, names: tuple[str, ...], ends_s: tuple[float, ...]
) -> str | None:
    if gps_time is None or math.isnan(gps_time):
        return None
    return names[bisect_right(ends_s, gps_time)]


def era_bounds_s(name: str) -> tuple[float | None, float | None]:
    """Return the start and the end (exclusive) of an era in GPS s; None for an open end.

    Args:
        name: One of ``ERAS``.

    Raises:
        ValueError: if it is none of them.
    """
    index = ERAS.index(name)
    start = float(ERA_ENDS_S[index - 1]) if index else None
    return start, float(ERA_ENDS_S[index]) if index < len(ERA_ENDS_S) else None
