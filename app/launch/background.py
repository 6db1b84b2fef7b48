"""Children beside the service: started after it, started again when they end.

The service serves without them, so their trouble is reported and never ends it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console

from app.launch.child import Child

_LONGEST_PAUSE_S = 60.0
_STEADY_S = 60.0  # a child that lived this long is started again at once
_STOP_WITHIN_S = 15.0  # a chunk is given back after 4 s; Celery needs some more


class KeptChild:
    """One child that is started again, after growing pauses, whenever it ends."""

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        keep_open: Sequence[int],
        console: Console,
    ) -> None:
        """Start it, as ``Child``; its ends are reported on the console."""
        self._name = name
        self._start = partial(
            Child, name, module, arguments, environment=environment, keep_open=keep_open
        )
        self._console = console
        self._ends = 0
        self._child: Child | None = self._start()
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
