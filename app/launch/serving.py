"""The processes that answer on one socket, each watched and replaced by itself."""

from __future__ import annotations

import shutil
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

        Args:
            spawn: starts one more, with these variables in its environment.
            processes: how many there are to be.
            counts: a file that says where they count together, so that a killed start's goes.
            console: told of each that ended.
        """
        self._spawn = spawn
        self._processes = processes
        self._note = counts
        self._counts = _folder_in_memory(counts)
        self._console = console
        self._ends = Ends(_MOST_RESTARTS * processes, _RESTART_WINDOW_S)
        self._running = [self._start()]
        self._database_url = ""

    def _start(self) -> ServiceProcess:
        # prometheus_client's own variable: one process alone counts in its memory.
        is_alone = self._processes == 1
        return self._spawn({} if is_alone else {"PROMETHEUS_MULTIPROC_DIR": str(self._counts)})

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
        """Replace what ended, end what is silent, and start what is not there yet.

        Raises:
            LaunchError: if they end too often.
        """
        for service in tuple(self._running):
            if service.is_silent and service.exit_code is None:
                self._console.print("The service does not answer any more: it is ended.")
                service.kill()
            if (code := service.exit_code) is not None:
                self._running.remove(service)
                service.stop()
                # Its part of what is in use goes; what it counted stays.
                mark_process_dead(service.pid, str(self._counts))  # type: ignore[no-untyped-call]
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
        shutil.rmtree(self._counts, ignore_errors=True)
        self._note.unlink(missing_ok=True)


def _folder_in_memory(note: Path) -> Path:
    """A new folder, whose path is noted; the one noted before is removed.

    In memory, because processes map its files: on a full disk that would kill them.
    """
    left = Path(note.read_text(encoding="utf-8")) if note.is_file() else None
    if left is not None and left.name.startswith(_PREFIX):
        shutil.rmtree(left, ignore_errors=True)
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a name and rights of its own there
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=memory if memory.is_dir() else None)
    note.write_text(folder, encoding="utf-8")
    return Path(folder)
