"""Child processes of the supervisor: started in separate sessions, watched, stopped in order.

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
# glibc gives threads separate heaps, which keep memory that a request once needed: with many
# threads this adds up to hundreds of MB. Returning memory earlier than glibc does by default costs
# more than it saves: the kernel clears each page again, which takes a sixth to a third of the time
# of converting strain to views. Variables set in the environment take precedence.
_ALLOCATOR = {"MALLOC_ARENA_MAX": "2"}


class EndCounter:
    """Counts how often something ended recently, to decide whether to restart it.

    Args:
        most: Number of ends within the window that are tolerated.
        window_s: Length of the window in seconds.
    """

    def __init__(self, most: int, window_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._times: list[float] = []

    def note(self) -> int:
        """Count an end. Return the number within the window if it is over the limit, else 0."""
        now = time.monotonic()
        self._times = [end for end in self._times if now - end < self._window_s] + [now]
        return len(self._times) if len(self._times) > self._most else 0


class Child:
    """A Python module that runs as a process in its own session.

    Ctrl-C in the terminal therefore reaches only the supervisor, which stops the children in the
    right order. A pipe tells the child when the supervisor has ended.
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

        It inherits the descriptors in ``keep_open`` (the lock, a listening socket). If
        ``is_conversing``, ``order`` sends it orders and ``lines`` reads its output.
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
        """Process id, valid also after the process has ended."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; 128 + n after signal n, as in shells."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def order(self, order: str) -> None:
        """Write one line to the standard input of the process, unless it has ended."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(f"{order}\n".encode())
                self._process.stdin.flush()

    def lines(self) -> Iterator[str]:
        """Yield the lines of a piped standard output until the process ends."""
        if self._process.stdout is not None:
            self._is_read = True
            with self._process.stdout as output:
                for line in output:
                    yield bytes(line).decode(errors="replace").strip()

    def ask_to_stop(self) -> None:
        """Send SIGTERM once, because some programs stop without cleanup at a second one."""
        if self._process.poll() is None and not self._is_asked:
            self._is_asked = True
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self, *, within_s: float = KILL_AFTER_S) -> None:
        """Send SIGTERM, then SIGKILL if the process does not end in time.

        Does nothing if it has ended.
        """
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        self.kill()
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._process.stdout is not None and not self._is_read:
            self._process.stdout.close()  # otherwise its reader closes it
        if self._parent_pipe >= 0:
            os.close(self._parent_pipe)
            self._parent_pipe = -1


_MAX_PAUSE_S = 60.0
_STEADY_S = 60.0  # a child that ran this long is restarted without a pause
_STOP_WITHIN_S = 15.0  # a worker hands its chunk back after 4 s; Celery needs some more


class KeptChild:
    """A child that is restarted, after increasing pauses, whenever it ends."""

    def __init__(self, start: Callable[[], Child], console: Console) -> None:
        """Start the child; its ends are reported on the console."""
        self._start = start
        self._console = console
        self._ends = 0
        self._child: Child | None = start()
        self._name = self._child.name
        self._started = time.monotonic()

    def check(self) -> None:
        """Restart the child if it has ended; call this often."""
        now = time.monotonic()
        if self._child is not None:
            code = self._child.exit_code
            if code is None:
                return
            self._child.stop()
            self._child = None
            self._ends = 0 if now - self._started > _STEADY_S else self._ends + 1
            self._resume_at = now + min(2.0**self._ends - 1, _MAX_PAUSE_S)
            self._console.print(f"{self._name} ended with exit code {code}: starting it again.")
        if now >= self._resume_at:
            self._child, self._started = self._start(), now

    def ask_to_stop(self) -> None:
        """Send SIGTERM without waiting, so that several children stop at the same time."""
        if self._child is not None:
            self._child.ask_to_stop()

    def stop(self) -> None:
        """Stop the child and wait until it has ended."""
        if self._child is not None:
            self._child.stop(within_s=_STOP_WITHIN_S)
            self._child = None
