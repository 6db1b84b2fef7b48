"""The processes that serve one socket; each is watched and replaced separately."""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead
from rich.console import Console

from app.core.errors import LaunchError
from app.launch.child import EndCounter
from app.launch.service_process import ServiceProcess, StartResult

COUNTS = "counts.txt"  # in the data directory
_PREFIX = "glitch-counts-"
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # defined by prometheus_client
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it has a secret name and mode 0700
_MIN_ROOM = 64 << 20
_MAX_RESTARTS = 3  # per process
_RESTART_WINDOW_S = 60.0


class Serving:
    """The service processes: the first one prepares the database, the others join it.

    A process that ends or stops answering is replaced, while the others continue.
    """

    def __init__(
        self,
        spawn: Callable[[Mapping[str, str]], ServiceProcess],
        processes: int,
        counts: Path,
        console: Console,
    ) -> None:
        """Start the first process, which imports its libraries while the database starts.

        ``spawn`` starts a process with additional environment variables. The file ``counts``
        records the folder of the shared metrics, so that the next start can remove the folder of a
        killed one.

        Raises:
            LaunchError: if there is no place for the shared metrics.
        """
        self._spawn = spawn
        self._processes = processes
        self._counts_file = counts
        # if set by the operator, it is for other programs
        for name in (_VARIABLE, _VARIABLE.lower()):
            os.environ.pop(name, None)
        _remove_counts_folder(counts)
        # a single process needs no files
        self._counts = _folder_in_memory(counts) if processes > 1 else None
        self._console = console
        self._ends = EndCounter(_MAX_RESTARTS * processes, _RESTART_WINDOW_S)
        self._running = [self._start()]
        self._database_url = ""

    def _start(self) -> ServiceProcess:
        return self._spawn({} if self._counts is None else {_VARIABLE: str(self._counts)})

    def open(self, database_url: str, check_stop: Callable[[], None]) -> StartResult:
        """Make the first process prepare the database and serve; return once it is ready.

        Raises:
            ChildFailedError: if it ends; it has reported the reason.
            LaunchError: if it takes too long.
        """
        self._database_url = database_url
        [first] = self._running
        prepared = first.prepare(database_url, check_stop)
        first.serve(check_stop)
        return prepared

    def check(self) -> None:
        """Kill processes that do not answer, replace those that ended, and start missing ones.

        Raises:
            LaunchError: if they ended too often.
        """
        for service in tuple(self._running):
            if service.is_silent and service.exit_code is None:
                self._console.print("The service has stopped answering: it is being restarted.")
                service.kill()
            if (code := service.exit_code) is not None:
                self._running.remove(service)
                service.stop()
                if self._counts is not None:
                    _close_counts(self._counts, service.pid)
                if times := self._ends.note():
                    raise LaunchError(
                        f"The service ended {times} times within a minute (last exit code "
                        f"{code}): its messages above say why."
                    )
                self._console.print(f"The service ended with exit code {code}: starting it again.")
        while len(self._running) < self._processes:
            self._running.append(self._start())
            self._running[-1].join(self._database_url)

    def stop(self) -> None:
        """Stop all processes at once; requests in progress are answered first."""
        for service in self._running:
            service.ask_to_stop()
        for service in self._running:
            service.stop()
        _remove_counts_folder(self._counts_file)


def _close_counts(folder: Path, pid: int) -> None:
    """Keep the counters of a process that has ended, and drop its gauges."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    # also release unused room; the first number is the size in use
    for file in folder.glob(f"*_{pid}.db"):
        os.truncate(file, max(8, int.from_bytes(file.read_bytes()[:4], sys.byteorder)))


def _remove_counts_folder(counts_file: Path) -> None:
    folder = Path(counts_file.read_text(errors="replace")) if counts_file.is_file() else None
    if folder is not None and folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
    counts_file.unlink(missing_ok=True)


def _folder_in_memory(counts_file: Path) -> Path:
    """Create a new folder, after recording its name in ``counts_file``.

    It is in memory if there is room, because processes map its files.
    """
    try:
        has_room = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _MIN_ROOM
        parent = _MEMORY if has_room else Path(tempfile.gettempdir())
        folder = parent / f"{_PREFIX}{secrets.token_hex(8)}"
        counts_file.write_text(str(folder))
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise LaunchError(
            f"The request metrics of several processes cannot be stored ({error.strerror}): make "
            f"room on the disks of {counts_file.parent} and of temporary files, or set "
            "GLITCH_API_PROCESSES=1."
        ) from error
    return folder
