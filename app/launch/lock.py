"""One service for one data directory, held by the kernel so that no crash leaves a stale lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.launch.errors import DataDirectoryBusyError, LaunchError

LOCK_NAME = "up.lock"
STOPPING = "stopping"
# Children of a killed supervisor need a moment to notice and to stop the database.
RELEASE_WAIT_S = 20.0
_BUSY_WAIT_S = 1.5
_POLL_S = 0.1


@dataclass(frozen=True)
class HeldLock:
    """The lock while it is held."""

    descriptor: int

    def describe(self, purpose: str) -> None:
        """Say who holds the lock, in one line that another start shows."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()} {purpose}\n".encode(), 0)


@contextlib.contextmanager
def hold_data_directory(
    folder: Path, purpose: str, *, wait_s: float = _BUSY_WAIT_S
) -> Iterator[HeldLock]:
    """Hold the folder's lock.

    `flock` goes with the process, so the file that a `kill -9` leaves behind locks nothing.
    Children that inherit the descriptor keep the lock until the last of them is gone, so a
    restart never meets the old service's half-stopped processes.

    Args:
        folder: the data directory.
        purpose: who holds it, for the message that another start shows; one line.
        wait_s: how long to wait for a holder that is at work, in seconds.

    Raises:
        DataDirectoryBusyError: if another process holds it, with its process id.
        LaunchError: if the lock file cannot be opened.
    """
    path = folder / LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LaunchError(
            f"The lock file {path} cannot be opened ({error.strerror}): remove it and start again."
        ) from error
    try:
        _acquire(descriptor, folder, wait_s)
        lock = HeldLock(descriptor)
        lock.describe(purpose)
        yield lock
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path, wait_s: float) -> None:
    """Wait briefly for a busy holder, longer for one that is stopping or already dead."""
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 200, 0).decode(errors="replace")
            pid, _, purpose = text.strip().partition(" ")
            is_there = pid.isdigit() and psutil.pid_exists(int(pid))
            is_busy = is_there and purpose != STOPPING
            if time.monotonic() - started > (wait_s if is_busy else RELEASE_WAIT_S):
                who = (
                    f"process {pid}, {purpose}"
                    if is_there
                    else f"`fuser {folder / LOCK_NAME}` says by whom"
                )
                raise DataDirectoryBusyError(
                    f"The data directory {folder} is in use ({who}): use that service, stop it, "
                    "or set GLITCH_DATA_DIR and GLITCH_PORT for a second one."
                ) from None
            time.sleep(_POLL_S)
        else:
            return
