"""The present slowness of this machine, so that time limits test the code and not the machine."""

from __future__ import annotations

import time

import numpy as np

REFERENCE_S = 0.02  # time of the piece of work on an idle core of the machine that set the limits


def is_within(took_s: float, bound_s: float) -> bool:
    """Return whether the time is within its limit multiplied by the slowness of the machine.

    The slowness is measured only if the plain limit is exceeded, because measuring it takes longer
    than most of the work with a limit.
    """
    return took_s < bound_s or took_s < bound_s * slowness()


def slowness() -> float:
    """Return the time of a fixed piece of work now divided by that on an idle machine, at least 1.

    Other work on the machine changes it, so measure it close in time to the work with the limit.
    """
    started = time.monotonic()
    for _ in range(5):
        _piece_of_work()
    return max(1.0, (time.monotonic() - started) / 5 / REFERENCE_S)


def _piece_of_work() -> None:
    total = 0
    for number in range(200_000):
        total += number % 7
    grid = np.arange(65_536, dtype=np.float64)
    for _ in range(10):
        np.fft.rfft(grid)
