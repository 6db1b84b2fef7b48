"""A lock on a folder of results, so that only one command writes it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glitch.errors import GlitchError


class FolderInUseError(GlitchError):
    """Another command is writing to this folder."""


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Create the folder if needed, and lock it for this command.

    The kernel keeps the lock on the folder itself and releases it when the process ends, so a crash
    leaves nothing behind. On file systems without locks (some network file systems) nothing is
    locked.

    Raises:
        FolderInUseError: if another command has locked it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(
                f"Another command is using {folder}: wait until it ends or stop it, or choose "
                "another folder."
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)
