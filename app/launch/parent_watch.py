"""Lets a child detect the end of the supervisor, even after `kill -9`.

The supervisor holds the write end of a pipe. The kernel closes it when the supervisor ends for any
reason, and the child then reads end-of-file. This works on Linux and macOS.

Run as `python -m app.launch.parent_watch DIR`, this module stops the embedded database at that
point. A supervisor that ends normally stops the database itself, and then this process.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

PARENT_PIPE_VARIABLE = "GLITCH_PARENT_PIPE_FD"
_PARENT_POLL_S = 0.5


def stop_with_supervisor() -> None:
    """In a child: send SIGTERM to this process when the supervisor has ended."""
    value = os.environ.pop(PARENT_PIPE_VARIABLE, None)
    if value is None:
        return
    descriptor = int(value)
    os.set_inheritable(descriptor, False)

    def wait() -> None:
        while os.read(descriptor, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="supervisor-watch", daemon=True).start()


def stop_with_parent() -> None:
    """Send SIGTERM to this process when its parent has ended; for `make`, which passes no pipe."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def main() -> None:
    """Wait for the supervisor's end, then stop the database server of the given folder."""
    descriptor = int(os.environ.pop(PARENT_PIPE_VARIABLE))
    while os.read(descriptor, 1):
        pass
    from app.core.embedded import EmbeddedServer

    folder = Path(sys.argv[1])
    EmbeddedServer(folder, folder / "postgres").stop()


if __name__ == "__main__":
    main()
