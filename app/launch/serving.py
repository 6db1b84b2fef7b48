"""The processes that answer on one socket, each watched and replaced separately."""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead
from rich.console import Console

from app.launch.child import Ends
from app.launch.errors import LaunchError
from app.launch.service_process import Prepared, ServiceProcess

COUNTS = "counts.txt"  # in the data directory
_PREFIX = "glitch-counts-"
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of a secret name and for its user alone there
_LEAST_ROOM = 64 << 20
_MOST_RESTARTS = 3  # for each of them
_RESTART_WINDOW_S = 60.0


class Serving:
    """One process at first, which prepares the database; others join it.

    A process that ends or falls silent is replaced; the others go on answering.
    """

    def __init__(
        self,
        spawn: Callable[[Mapping[str, str]], ServiceProcess],
        processes: int,
        counts: Path,
        console: Console,
    ) -> None:
        """Start the first one, which imports while the database starts.

        ``spawn`` starts one with more variables in its environment. The file ``counts`` says where
        they count together, so that a killed start's folder goes.

        Raises:
            LaunchError: if there is no place where they could count together.
        """
        self._spawn = spawn
        self._processes = processes
        self._note = counts
        for name in (_VARIABLE, _VARIABLE.lower()):  # an operator's own is of other programs
            os.environ.pop(name, None)
        _remove_noted(counts)
        self._counts = _folder_in_memory(counts) if processes > 1 else None  # one counts for itself
        self._console = console
        self._ends = Ends(_MOST_RESTARTS * processes, _RESTART_WINDOW_S)
        self._running = [self._start()]
        self._database_url = ""

    def _start(self) -> ServiceProcess:
        return self._spawn({} if self._counts is None else {_VARIABLE: str(self._counts)})

    def open(self, database_url: str, check_stop: Callable[[], None]) -> Prepared:
        """Have the first one prepare the database and serve; returns once it is ready.

        Raises:
            ChildFailedError: if it ends; it has said why.
            LaunchError: if it takes unreasonably long.
        """
        self._database_url = database_url
        [first] = self._running
        prepared = first.prepare(database_url, check_stop)
        first.serve(check_stop)
        return prepared

    def check(self) -> None:
        """Replace what ended, end what is silent, and start what is not there yet."""
        for service in tuple(self._running):
            if service.is_silent and service.exit_code is None:
                self._console.print("The service does not answer any more: it is ended.")
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
        """Stop all at once; requests that they have begun are answered first."""
        for service in self._running:
            service.ask_to_stop()
        for service in self._running:
            service.stop()
        _remove_noted(self._note)


def _close_counts(folder: Path, pid: int) -> None:
    """Of a process that has ended: what it counted stays, its part of what is in use goes."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    for file in folder.glob(f"*_{pid}.db"):  # its room, too, but for what the first number says
        os.truncate(file, max(8, int.from_bytes(file.read_bytes()[:4], sys.byteorder)))


def _remove_noted(note: Path) -> None:
    folder = Path(note.read_text(errors="replace")) if note.is_file() else None
    if folder is not None and folder.name.startswith(_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
    note.unlink(missing_ok=True)


def _folder_in_memory(note: Path) -> Path:
    """A new folder, noted before it is made.

    In memory where there is room: processes map its files.
    """
    try:
        is_good = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _LEAST_ROOM
        place = _MEMORY if is_good else Path(tempfile.gettempdir())
        folder = place / f"{_PREFIX}{secrets.token_hex(8)}"
        note.write_text(str(folder))
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise LaunchError(
            f"There is no place where several processes could count their requests "
            f"({error.strerror}): make room on the disks of {note.parent} and of temporary files, "
            "or set GLITCH_API_PROCESSES=1."
        ) from error
    return folder
