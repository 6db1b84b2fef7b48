"""Waiting for a condition that becomes true in another thread or process."""

import time
from collections.abc import Callable

PATIENCE_S = 60.0


def eventually(
    condition: Callable[[], object],
    within_s: float = PATIENCE_S,
    message: Callable[[], object] = lambda: "waited in vain",
) -> None:
    """Return once ``condition()`` is true; an exception counts as not yet true.

    Raises:
        AssertionError: with ``message()``, if it is still false after ``within_s`` seconds.
        Exception: the last exception of ``condition()``, if it still raises after that time.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            if condition():
                return
        except Exception:  # counts as not yet true
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, message()
        time.sleep(0.05)
