"""The worker and the scheduler beside the service: started after it, started again when they end.

The service serves without them, so their trouble is reported and never ends it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console

from app.launch.child import Child
from app.launch.worker_process import ROLES

_LONGEST_PAUSE_S = 60.0
_STEADY_S = 60.0  # a child that lived this long is started again at once
_STOP_WITHIN_S = 15.0  # a chunk is given back after 4 s; Celery needs some more


class KeptChild:
    """One child that is started again, after growing pauses, whenever it ends."""

    def __init__(self, name: str, start: Callable[[], Child], console: Console) -> None:
        self._name = name
        self._start = start
        self._console = console
        self._ends = 0
        self._child: Child | None = start()
        self._started = time.monotonic()

    def check(self) -> None:
        """See whether it runs; call it often."""
        now = time.monotonic()
        if self._child is not None:
            code = self._child.exit_code
            if code is None:
                return
            self._child.stop()
            self._child = None
            self._ends = 0 if now - self._started > _STEADY_S else self._ends + 1
            self._resume_at = now + min(2.0**self._ends - 1, _LONGEST_PAUSE_S)
            self._console.print(f"{self._name} ended with exit code {code}: starting it again.")
        if now >= self._resume_at:
            self._child, self._started = self._start(), now

    def ask_to_stop(self) -> None:
        """Send the signal without waiting, so that several stop at the same time."""
        if self._child is not None:
            self._child.ask_to_stop()

    def stop(self) -> None:
        """Stop it and wait until it has ended."""
        if self._child is not None:
            self._child.stop(within_s=_STOP_WITHIN_S)
            self._child = None


class Background:
    """The children that do jobs."""

    def __init__(
        self, environment: Mapping[str, str], keep_open: Sequence[int], console: Console
    ) -> None:
        """Start them.

        Args:
            environment: the addresses of database and Redis, and the data directory.
            keep_open: the descriptor of the data directory's lock.
            console: where their ends are reported.
        """

        def starter(role: str) -> Callable[[], Child]:
            return lambda: Child(
                f"The {role}",
                "app.launch.worker_process",
                [role],
                environment=environment,
                keep_open=keep_open,
            )

        self._children = [KeptChild(f"The {role}", starter(role), console) for role in ROLES]

    def check(self) -> None:
        """Start again what has ended."""
        for child in self._children:
            child.check()

    def close(self) -> None:
        """Stop them all; a chunk at work is finished or given back."""
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            child.stop()
