"""Notices when the service runs but does not answer: a process can live on with its loop stuck."""

from __future__ import annotations

import threading
import urllib.request

MOST_FAILURES = 6
_PAUSE_S = 1.0
_PATIENCE_S = 5.0  # of one question; six make half a minute


class Watchdog:
    """Asks ``/healthz`` again and again, from a thread.

    Args:
        url: The address of the service.
        pause_s: Between questions, in seconds.
        patience_s: How long one question may take, in seconds.
    """

    def __init__(
        self, url: str, *, pause_s: float = _PAUSE_S, patience_s: float = _PATIENCE_S
    ) -> None:
        self._url = f"{url}/healthz"
        self._pause_s = pause_s
        self._patience_s = patience_s
        self._failures = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="watchdog", daemon=True)
        self._thread.start()

    @property
    def is_silent(self) -> bool:
        """Whether so many questions in a row were not answered that it will not answer again."""
        return self._failures >= MOST_FAILURES

    def close(self) -> None:
        """Ask no more."""
        self._is_over.set()

    def _ask(self) -> None:
        while not self._is_over.wait(self._pause_s):
            try:
                with urllib.request.urlopen(self._url, timeout=self._patience_s):  # noqa: S310
                    self._failures = 0
            except OSError:  # refused, too late, or another answer than 200
                self._failures += 1
