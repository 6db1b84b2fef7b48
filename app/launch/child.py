"""Child processes of the supervisor: started separately, watched, stopped in order.

Some are restarted when they end. The service does not depend on those, so their failure never ends
it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console

from app.launch.parent_watch import PARENT_PIPE_VARIABLE

KILL_AFTER_S = 10.0
# glibc gives threads heaps of their own, which keep what a request once needed: with many threads
# that adds up to hundreds of MB. What is given back sooner than glibc does by itself costs more
# than it saves: the kernel clears each page again, for a sixth to a third of the time in which
# strain becomes views.
# What the environment says goes before.
_ALLOCATOR = {"MALLOC_ARENA_MAX": "2"}


class Ends:
    """How often something ended of late, and whether starting it once more has any sense.

    Args:
        most: So many ends within the window are started again; one more is too many.
        window_s: How long an end counts, in seconds.
    """

    def __init__(self, most: int, window_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._times: list[float] = []

    def note(self) -> int:
        """Count one more end; how many there were within the window, 0 while they are few."""
        now = time.monotonic()
        self._times = [end for end in self._times if now - end < self._window_s] + [now]
        return len(self._times) if len(self._times) > self._most else 0


class Child:
    """A Python module run as a process of its own session.

    Its own session, so that a Ctrl-C on the terminal reaches the supervisor alone, which then
    stops the children in the right order. A pipe tells it when the supervisor is gone.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str] = (),
        *,
        environment: Mapping[str, str],
        keep_open: Sequence[int] = (),
        is_conversing: bool = False,
    ) -> None:
        """Start it as ``python -m module``.

        It inherits the descriptors to ``keep_open`` (the lock, a listening socket). A conversing
        one takes orders with ``tell`` and answers in ``lines``.
        """
        self.name = name
        self._is_read = False
        self._is_asked = False
        child_end, self._parent_pipe = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own modules, no shell
                [sys.executable, "-m", module, *arguments],
                env={
                    **_ALLOCATOR,
                    **os.environ,
                    **environment,
                    PARENT_PIPE_VARIABLE: str(child_end),
                },
                stdin=subprocess.PIPE if is_conversing else subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_conversing else None,
                pass_fds=(child_end, *keep_open),
                start_new_session=True,
            )
        finally:
            os.close(child_end)

    @property
    def pid(self) -> int:
        """Of the process, also when it has ended."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + n after signal n, as shells count."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def tell(self, order: str) -> None:
        """Write one line to its standard input; nothing if it has ended."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(f"{order}\n".encode())
                self._process.stdin.flush()

    def lines(self) -> Iterator[str]:
        """What it writes to a piped standard output, by line, until it ends."""
        if self._process.stdout is not None:
            self._is_read = True
            with self._process.stdout as output:
                for line in output:
                    yield bytes(line).decode(errors="replace").strip()

    def ask_to_stop(self) -> None:
        """SIGTERM, once: to some programs a second one means to drop everything."""
        if self._process.poll() is None and not self._is_asked:
            self._is_asked = True
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and wait until it has ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self, *, within_s: float = KILL_AFTER_S) -> None:
        """SIGTERM, then SIGKILL if it does not end in time. Nothing if it has ended."""
        if self._process.poll() is None:
            self.ask_to_stop()
            try:
                self._process.wait(within_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._process.stdout is not None and not self._is_read:
            self._process.stdout.close()  # else its reader closes it at its end
        if self._parent_pipe >= 0:
            os.close(self._parent_pipe)
            self._parent_pipe = -1


_LONGEST_PAUSE_S = 60.0
_STEADY_S = 60.0  # a child that lived this long is started again at once
_STOP_WITHIN_S = 15.0  # a chunk is given back after 4 s; Celery needs some more


class KeptChild:
    """One child that is started again, after growing pauses, whenever it ends."""

    def __init__(self, start: Callable[[], Child], console: Console) -> None:
        """Start it; its ends are reported on the console."""
        self._start = start
        self._console = console
        self._ends = 0
        self._child: Child | None = start()
        self._name = self._child.name
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
