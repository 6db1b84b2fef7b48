"""Which observing run a GPS time belongs to. Every time belongs to one: there are no gaps.

Detectors change between runs more than within them, and engineering runs are made in the
configuration of the run to come, so what lies between two runs goes with the later one.

Source: the run boundaries that GWOSC publishes (https://gwosc.org/timeline/).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from decimal import Decimal

# GPS seconds at which each run ended; the next begins there, engineering runs and all.
_ENDS_S: tuple[tuple[str, float], ...] = (
    ("O1", 1_137_254_417),
    ("O2", 1_187_733_618),
    ("O3a", 1_253_977_218),
    ("O3b", 1_269_363_618),
    ("O4", 1_447_516_818),
)
_LAST = "since O4"
OBSERVING_RUNS: tuple[str, ...] = (*(name for name, _ in _ENDS_S), _LAST)
RUN_ENDS_S: tuple[float, ...] = tuple(end for _, end in _ENDS_S)  # where each but the last ends


def observing_run(gps_time: Decimal | float | None) -> str | None:
    """The run of this time, one of ``OBSERVING_RUNS``.

    Args:
        gps_time: GPS time in s; None where it is not known.

    Returns:
        The run's name; None only where there is no time.
    """
    if gps_time is None or math.isnan(gps_time):
        return None
    return OBSERVING_RUNS[bisect_right(RUN_ENDS_S, gps_time)]


def run_bounds_s(name: str) -> tuple[float | None, float | None]:
    """When a run begins and ends, in GPS s, the end excluded; None where it has no such end.

    Args:
        name: One of ``OBSERVING_RUNS``.

    Raises:
        ValueError: if it is none of them.
    """
    place = OBSERVING_RUNS.index(name)
    start = float(RUN_ENDS_S[place - 1]) if place else None
    return start, float(RUN_ENDS_S[place]) if place < len(RUN_ENDS_S) else None
