"""The folder with all state: checked by writing to it, used by one service at a time.

Its lock is held by the kernel, so a crash leaves no stale lock. The admin token of the first start
is a file in it, of mode 0600 and written atomically.
"""

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.core.errors import LaunchError
from app.core.storage import arriving_file
from app.launch.errors import DataDirectoryBusyError

TOKEN_FILE = "admin-token"  # noqa: S105 - a file name
SECRETS = (TOKEN_FILE, "signing-key")
LOGS = ("database/postgres.log", "redis/redis.log")
MAX_LOG_BYTES = 16 << 20
_PROBE_BYTES = 64 * 1024
_MIN_FREE_MB = 200  # an empty catalogue takes 60 MB, its write-ahead log as much again
_SET_ANOTHER = "set GLITCH_DATA_DIR to a folder that you may write to."


def prepare_data_directory(path: Path) -> Path:
    """Create the folder, and check that files in it can be created, written, listed and removed.

    A probe file is written and synced, because permission bits alone are not enough: root ignores
    them, and they do not show a full or read-only disk.

    Returns:
        The absolute path.

    Raises:
        LaunchError: if the folder cannot be used or its disk is almost full.
    """
    folder = path.expanduser().absolute()
    name = str(folder)  # passed to PostgreSQL's clients in UTF-8, and a line of its lock file
    if len(name.splitlines()) > 1 or os.fsencode(name) != name.encode(errors="replace"):
        raise LaunchError(
            f"The data directory {name!r} contains a line break, or characters that this locale "
            f"does not encode as UTF-8: set LC_ALL=C.UTF-8, or {_SET_ANOTHER}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.listdir(folder)  # noqa: PTH208 - for its permission error
        with tempfile.NamedTemporaryFile(prefix=".probe-", dir=folder) as probe:
            probe.write(b"\0" * _PROBE_BYTES)
            probe.flush()
            os.fsync(probe.fileno())
        free_mb = shutil.disk_usage(folder).free / 1e6
    except OSError as error:
        raise LaunchError(_sentence(folder, error)) from error
    if free_mb < _MIN_FREE_MB:
        raise LaunchError(
            f"The disk that holds the data directory {folder} is full ({free_mb:.0f} MB free, "
            f"{_MIN_FREE_MB} MB are needed): free some space or {_SET_ANOTHER}"
        )
    for name in SECRETS:  # copying or unpacking the folder may have made them readable for others
        # missing, or another user's; reading it will report that
        with contextlib.suppress(OSError):
            if (folder / name).stat().st_mode & 0o077:
                (folder / name).chmod(0o600)
    return folder.resolve()


def bound_logs(folder: Path) -> None:
    """Truncate long logs of PostgreSQL and Redis, after a copy.

    The copy replaces the previous one. Both programs append to their logs, so they continue at the
    new start.
    """
    for name in LOGS:
        log = folder / name
        with contextlib.suppress(OSError):  # missing, or the disk is full
            if log.stat().st_size > MAX_LOG_BYTES:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)


def _sentence(folder: Path, error: OSError) -> str:
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        blocker = next((p for p in (folder, *folder.parents) if p.is_file()), folder)
        problem = f"The data directory {folder} cannot be made because {blocker} is a file"
    elif error.errno in (errno.EACCES, errno.EPERM):
        problem = f"No permission to use the data directory {folder}"
    elif error.errno == errno.EROFS:
        problem = f"The data directory {folder} is on a read-only file system"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk that holds the data directory {folder} is full: free some space or "
            f"{_SET_ANOTHER}"
        )
    else:
        reason = error.strerror or type(error).__name__
        problem = f"The data directory {folder} cannot be used ({reason})"
    return f"{problem}: {_SET_ANOTHER}"


LOCK_NAME = "up.lock"
STOPPING = "stopping"
# After a supervisor is killed, its children need some time to notice and to stop the database.
RELEASE_WAIT_S = 20.0
_BUSY_WAIT_S = 1.5
_POLL_S = 0.1


@dataclass(frozen=True)
class HeldLock:
    """The lock of the data directory, held by this process."""

    descriptor: int

    def describe(self, purpose: str) -> None:
        """Store who holds the lock, in one line that another start shows."""
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()} {purpose}\n".encode(), 0)


@contextlib.contextmanager
def hold_data_directory(
    folder: Path, purpose: str, *, wait_s: float = _BUSY_WAIT_S
) -> Iterator[HeldLock]:
    """Hold the folder's lock.

    `flock` ends with the process, so a lock file left by `kill -9` locks nothing. Children that
    inherit the descriptor hold the lock until the last of them has ended, so a restart never meets
    half-stopped processes of the old service. The function waits ``wait_s`` seconds for a running
    holder. ``purpose`` describes this holder to other starts, in one line.

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
    """Wait briefly for a running holder, longer for one that is stopping or already dead."""
    started = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 200, 0).decode(errors="replace")
            pid, _, purpose = text.strip().partition(" ")
            is_alive = pid.isdigit() and psutil.pid_exists(int(pid))
            is_busy = is_alive and purpose != STOPPING
            if time.monotonic() - started > (wait_s if is_busy else RELEASE_WAIT_S):
                holder = (
                    f"process {pid}, {purpose}"
                    if is_alive
                    else f"`fuser {folder / LOCK_NAME}` says by whom"
                )
                raise DataDirectoryBusyError(
                    f"The data directory {folder} is in use ({holder}): use that service, stop it, "
                    "or set GLITCH_DATA_DIR and GLITCH_PORT for a second one."
                ) from None
            time.sleep(_POLL_S)
        else:
            return


# Format of a token: visible ASCII without spaces, long enough for 256 random bits.
_TOKEN = re.compile(r"[\x21-\x7e]{32,200}")
_MAX_BYTES = 1024


def read_token(folder: Path) -> str | None:
    """Read the token file of the folder; None if there is none.

    Raises:
        LaunchError: if the file cannot be read or is damaged.
    """
    path = folder / TOKEN_FILE
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LaunchError(
            f"The admin token in {path} cannot be read ({error.strerror}): correct its "
            "permissions, or remove it and start again to get a new one."
        ) from error
    text = content.decode("ascii", errors="replace").strip()
    if not _TOKEN.fullmatch(text):
        raise LaunchError(
            f"The admin token in {path} is damaged: remove the file and start again to get a new "
            "one, then revoke the old one with `glitch-discovery token revoke`."
        )
    return text


def write_token(folder: Path, token: str) -> Path:
    """Write the token file atomically, readable by its owner only.

    Raises:
        LaunchError: if it cannot be written.
    """
    path = folder / TOKEN_FILE
    try:
        with arriving_file(folder) as (file, part):  # of mode 0600
            file.write(f"{token}\n".encode())
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
    except OSError as error:
        raise LaunchError(
            f"The admin token cannot be written to {path} ({error.strerror})."
        ) from error
    return path
