"""A lock on a folder of results, so that only one command writes it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glitch.errors import GlitchError


class FolderInUseError(GlitchError):
    """Another command writes into this folder."""


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Makes the folder, and holds it for this command.

    The kernel keeps the lock, on the folder itself, and lets it go with the process: nothing is
    left behind by a crash. A file system that knows no locks (some of a network) holds nothing.

    Raises:
        FolderInUseError: if another command holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(
                f"Another command is at work in {folder}: wait for its end or stop it, or choose "
                "another folder."
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)
