"""Waiting for a condition that becomes true in another thread or process."""

import time
from collections.abc import Callable

PATIENCE_S = 60.0


def eventually(
    true: Callable[[], object],
    within_s: float = PATIENCE_S,
    told: Callable[[], object] = lambda: "waited in vain",
) -> None:
    """Return once ``true()`` returns a true value; an exception counts as not yet true.

    Raises:
        AssertionError: with ``told()`` as message, if it is still false after ``within_s`` seconds.
        Exception: the last exception of ``true()``, if it still raises after ``within_s`` seconds.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            if true():
                return
        except Exception:  # counts as not yet true
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)
