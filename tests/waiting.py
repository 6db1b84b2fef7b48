"""Waiting for a condition that becomes true in another thread or process."""

import time
from collections.abc import Callable

PATIENCE_S = 60.0


def eventually(
    true: Callable[[], object],
    within_s: float = PATIENCE_S,
    told: Callable[[], object] = lambda: "waited in vain",
) -> None:
    """Returns once ``true()`` is; what it raises until then counts as not yet.

    Raises what it raised last, or AssertionError with ``told()``, after ``within_s`` seconds.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            if true():
                return
        except Exception:  # not yet
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)
