"""The database of `up` and of the commands: the operator's own, or the embedded one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from app.core.embedded import EmbeddedServer, start_embedded
from app.core.errors import LaunchError
from app.core.settings import Settings
from app.launch.child import Child, EndCounter
from app.launch.data_directory import hold_data_directory, prepare_data_directory
from app.launch.errors import DataDirectoryBusyError

# not at run time, because the supervisor never needs SQLAlchemy and must start quickly
if TYPE_CHECKING:
    from sqlalchemy.orm import Session, sessionmaker

DATABASE_FOLDER = "database"
_MAX_RESTARTS = 3
_RESTART_WINDOW_S = 300.0
_LOOK_AGAIN_S = 2.0


@dataclass(frozen=True)
class Database:
    """An open database."""

    url: str
    sessions: sessionmaker[Session]


@dataclass
class RunningDatabase:
    """A running database. ``server`` is None unless it is the embedded one."""

    url: str
    server: EmbeddedServer | None = None
    _process: psutil.Process | None = None
    _ends: EndCounter = field(default_factory=lambda: EndCounter(_MAX_RESTARTS, _RESTART_WINDOW_S))
    _looks_at: float = 0.0  # monotonic time of the next try, while the disk is full or read-only

    def __post_init__(self) -> None:
        self._process = self.server and self.server.process

    def check(self, say: Callable[[str], None]) -> None:
        """Restart the embedded server if it ended by itself; call this often.

        Committed data are kept; requests and chunks in progress fail or are repeated. ``say``
        reports the restart. If the disk is full or read-only, the restart waits until that is
        corrected. Meanwhile the service answers that the database is unavailable, and ``/readyz``
        gives the reason.

        Raises:
            LaunchError: if it ended too often, or cannot be started.
        """
        if self.server is None or _is_running(self._process) or time.monotonic() < self._looks_at:
            return
        place = self.server.folder
        log = place / "postgres.log"
        if self._must_wait(place, say):
            return
        if times := self._ends.note():
            raise LaunchError(
                f"The database ended {times} times within {_RESTART_WINDOW_S / 60:g} minutes: "
                f"{log} says why. Correct that and start again; confirmed changes are kept."
            )
        say(f"The database ended unexpectedly ({log} says why): it is started again.")
        # children of the old server hold its shared memory for a moment
        for pause_s in (1.0, 2.0, 4.0):
            with contextlib.suppress(LaunchError):
                _start(place)
                break
            time.sleep(pause_s)
        else:
            try:
                _start(place)
            except LaunchError:
                if self._must_wait(place, say):
                    return
                raise
        self._process = self.server.process
        say("The database is running again.")

    def _must_wait(self, place: Path, say: Callable[[str], None]) -> bool:
        """Return whether the disk prevents a start now; ``say`` reports that once."""
        try:
            prepare_data_directory(place)
        except LaunchError as error:
            if not self._looks_at:
                say(f"The database ended, and is restarted when this is corrected: {error}")
            self._looks_at = time.monotonic() + _LOOK_AGAIN_S
            return True
        self._looks_at = 0.0
        return False


def _is_running(process: psutil.Process | None) -> bool:
    """Return whether the process runs; a zombie, which containers may leave, does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if process is not None and process.is_running():
            return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


@contextlib.contextmanager
def running_database(
    settings: Settings, folder: Path, lock_descriptor: int
) -> Iterator[RunningDatabase]:
    """Provide a running database, and stop it at the end if it is the embedded one.

    A watchdog process stops the embedded server if this process is killed, because the server would
    otherwise outlive it. The watchdog holds the data directory's lock, too.

    Raises:
        LaunchError: if it cannot be started.
    """
    if settings.database_url is not None:
        from app.core.engine import parse_database_url

        url = settings.database_url.get_secret_value()
        parse_database_url(url)
        yield RunningDatabase(url)
        return
    place = folder / DATABASE_FOLDER
    watchdog = Child(
        "The database's watchdog",
        "app.launch.parent_watch",
        [str(place)],
        environment={},
        keep_open=(lock_descriptor,),
    )
    try:
        server = _start(place)
        try:
            yield RunningDatabase(server.url(), server)
        finally:
            server.stop()
    finally:
        watchdog.stop()


@contextlib.contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """Provide the database for one command, whether the service is running or not.

    Raises:
        LaunchError: if it cannot be reached or started.
    """
    from app.core.engine import make_engine, make_session_factory

    with contextlib.ExitStack() as stack:
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
        else:
            url = stack.enter_context(_embedded(settings.data_dir))
        engine = make_engine(url, pool_size=2)
        stack.callback(engine.dispose)
        yield Database(url, make_session_factory(engine))


@contextlib.contextmanager
def _embedded(data_directory: Path) -> Iterator[str]:
    """Provide the running service's server, or one that runs during the block."""
    folder = prepare_data_directory(data_directory)
    with contextlib.ExitStack() as stack:
        try:
            lock = hold_data_directory(folder, "a glitch-discovery command", wait_s=0)
            held_lock = stack.enter_context(lock)
        except DataDirectoryBusyError:
            yield _start(folder / DATABASE_FOLDER).url()  # returns the running one
            return
        settings = Settings(data_dir=folder, database_url=None)
        running = running_database(settings, folder, held_lock.descriptor)
        yield stack.enter_context(running).url


def _start(place: Path) -> EmbeddedServer:
    try:
        return start_embedded(place)
    except OSError as error:
        raise LaunchError(
            f"The database in {place} cannot be used ({error.strerror}: {error.filename}): correct "
            "its permissions, or set GLITCH_DATA_DIR to another folder."
        ) from error


def upgrade_schema(url: str) -> None:
    """Migrate the tables to this version and add the Gravity Spy classes.

    Raises:
        LaunchError: if a newer version has migrated them.
    """
    from alembic.util import CommandError

    from app.classes.naming import seed_classes
    from app.core.engine import make_engine, make_session_factory
    from app.core.migrate import upgrade

    try:
        upgrade(url)
    except CommandError as error:
        if "locate revision" not in str(error).lower():
            raise
        raise LaunchError(
            "The database was made or migrated by a newer version of Glitch Discovery: start that "
            "version, or restore a backup from before the upgrade "
            "(docs/operations/backup.md)."
        ) from error
    engine = make_engine(url, pool_size=1)
    try:
        with make_session_factory(engine).begin() as session:
            seed_classes(session)
    finally:
        engine.dispose()
