"""The one folder that holds all state, checked by really using it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

from app.launch.errors import LaunchError

LOGS = ("database/postgres.log", "redis/redis.log")
MOST_LOG_BYTES = 16 << 20
_PROBE_BYTES = 64 * 1024
_LEAST_FREE_MB = 200  # an empty catalogue takes 60 MB, its log of changes as much again
_SET_ANOTHER = "set GLITCH_DATA_DIR to a folder that you may write to."


def prepare_data_directory(path: Path) -> Path:
    """Make the folder, and prove that files can be made, written, listed and removed in it.

    Permission bits alone say little (root ignores them, a full or read-only disk has them), so
    a probe file is written and synced.

    Returns:
        The absolute path.

    Raises:
        LaunchError: if it cannot be used, with the reason and what to do.
    """
    folder = path.expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.listdir(folder)  # noqa: PTH208 - the call whose permission error is wanted
        with tempfile.NamedTemporaryFile(prefix=".probe-", dir=folder) as probe:
            probe.write(b"\0" * _PROBE_BYTES)
            probe.flush()
            os.fsync(probe.fileno())
        free_mb = shutil.disk_usage(folder).free / 1e6
    except OSError as error:
        raise LaunchError(_sentence(folder, error)) from error
    if free_mb < _LEAST_FREE_MB:
        raise LaunchError(
            f"The disk that holds the data directory {folder} is full ({free_mb:.0f} MB free, "
            f"{_LEAST_FREE_MB} MB are needed): free some space or {_SET_ANOTHER}"
        )
    return folder.resolve()


def bound_logs(folder: Path) -> None:
    """Begin the logs of the programs beside the service again once they are long.

    What was in one is kept in a file beside it, until that happens again. Both programs append, so
    they go on at the new beginning.
    """
    for name in LOGS:
        log = folder / name
        with contextlib.suppress(OSError):  # it may not be there yet, or the disk be full
            if log.stat().st_size > MOST_LOG_BYTES:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)


def _sentence(folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        blocker = next((p for p in (folder, *folder.parents) if p.is_file()), folder)
        problem = f"The data directory {folder} cannot be made because {blocker} is a file"
    elif error.errno in (errno.EACCES, errno.EPERM):
        problem = f"No permission to use the data directory {folder}"
    elif error.errno == errno.EROFS:
        problem = f"The data directory {folder} lies on a read-only file system"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk that holds the data directory {folder} is full: free some space or "
            f"{_SET_ANOTHER}"
        )
    else:
        reason = error.strerror or type(error).__name__
        problem = f"The data directory {folder} cannot be used ({reason})"
    return f"{problem}: {_SET_ANOTHER}"
