"""Full disks end a command with a message; earlier results stay intact."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glitch.errors import GlitchError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FullDiskError(GlitchError):
    """There is not enough space to write results."""


@contextmanager
def full_disk_as_error(folder: Path) -> Iterator[None]:
    """Turn a full disk while writing into ``folder`` into an error message.

    Raises:
        FullDiskError: if a write fails for lack of space; other errors pass unchanged.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise FullDiskError(
            f"There is no space left to write to {folder} ({error.strerror}): free some on that "
            "disk and start the same command again. The last saved state is intact, and the work "
            "continues from there."
        ) from error
