"""How slow this machine is just now: bounds on time hold the code to account, not the machine."""

from __future__ import annotations

import time

import numpy as np

REFERENCE_S = 0.02  # what the piece takes on a quiet core of the machine that bounds are set on


def is_within(took_s: float, bound_s: float) -> bool:
    """Whether what took so long is within its bound, times the slowness of the machine.

    That is looked at only where the bound is missed: it takes longer than most of what is bounded.
    """
    return took_s < bound_s or took_s < bound_s * slowness()


def slowness() -> float:
    """At least 1: the time that a fixed piece of work takes now, over that on a quiet machine.

    Other work on the machine counts, so multiply a bound by what is measured beside what it bounds.
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
